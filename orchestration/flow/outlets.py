"""Where a running system hands things on: the marts' database, and the reactions that hear of alerts.

They are not declared in the dbt project, so that a project's own diagram has none of them.
"""

from collections.abc import Collection

from orchestration.flow.graph import Flow, Node

SERVING, CONDITIONS = "serving", "conditions"
_DATABASE, _SAYS, _REACTION = "PostgreSQL", "conditions", "reaction."


def with_outlets(
    flow: Flow, *, published: Collection[str], alerting: Collection[str], reactions: Collection[str]
) -> Flow:
    """The flow with a box for the database of the marts and for each reaction.

    Args:
        flow: Of the project.
        published: Marts that PostgreSQL has, or is to have.
        alerting: Models whose open rows are conditions.
        reactions: Names of the reactions; without any nobody hears of conditions.
    """
    models = {node.title: node for node in flow.nodes if node.stage in ("model", "seed")}
    last = max((node.column for node in flow.nodes), default=0)
    nodes, arrows = list(flow.nodes), list(flow.arrows)
    if shown := [models[name].key for name in sorted(published) if name in models]:
        column = 1 + max(models[name].column for name in published if name in models)
        text = "1 mart" if len(shown) == 1 else f"{len(shown)} marts"
        nodes.append(Node(SERVING, _DATABASE, text, "serving", column, "For psql and BI tools."))
        arrows += [(key, SERVING) for key in shown]
    if reactions:
        sources = [models[name] for name in sorted(alerting) if name in models]
        column = 1 + max((node.column for node in sources), default=last)
        about = "What does not work, and the open alerts of rules."
        nodes.append(Node(CONDITIONS, _SAYS, "what is wrong now", "conditions", column, about))
        arrows += [(node.key, CONDITIONS) for node in sources]
        for name in sorted(reactions):
            nodes.append(Node(key_of(name), name, "a reaction", "reaction", column + 1))
            arrows.append((CONDITIONS, key_of(name)))
    return Flow(tuple(nodes), tuple(arrows))


def key_of(reaction: str) -> str:
    """The key of a reaction's box."""
    return f"{_REACTION}{reaction}"
