"""What is said of the boxes where things are handed on: PostgreSQL and the reactions."""

from collections.abc import Iterable, Mapping

from orchestration.conditions.condition import Condition
from orchestration.flow.graph import Flow
from orchestration.flow.outlets import CONDITIONS, SERVING, key_of
from orchestration.flow.svg import Mark, Marks
from orchestration.page.look import Look
from orchestration.page.views.conditions import seconds

_ALERTS = "/alerts"
_BEHIND = "serving_behind"


def outlet_marks(look: Look, flow: Flow) -> Marks:
    """Their marks. How much later PostgreSQL shows marts stands on its box: arrows to it cross.

    Args:
        look: Of the running system.
        flow: With outlets.
    """
    boxes = dict[str, Mark]()
    keys = {node.key: node for node in flow.nodes}
    conditions = look.overview.conditions
    if SERVING in keys:
        state = "wrong" if any(each.finding.name == _BEHIND for each in conditions) else ""
        titles = [keys[source].title for source, target in flow.arrows if target == SERVING]
        lags = [look.overview.publishing[each] for each in titles if each in look.overview.publishing]
        later = f", shown {seconds(max(lags))} later" if lags else ""
        boxes[SERVING] = Mark(f"{keys[SERVING].caption}{later}", state, "/marts")
    if CONDITIONS in keys:
        boxes[CONDITIONS] = _of_conditions(conditions)
    for name, states in look.overview.reactions.items():
        if key_of(name) in keys:
            boxes[key_of(name)] = _of_reaction(states)
    return Marks(boxes)


def _of_conditions(conditions: Iterable[Condition]) -> Mark:
    count = sum(1 for _ in conditions)
    return Mark(f"{count:,} open" if count else "nothing is wrong", "wrong" if count else "", _ALERTS)


def _of_reaction(states: Mapping[str, int]) -> Mark:
    owed, failed = states.get("pending", 0) + states.get("batched", 0), states.get("failed", 0)
    if failed:
        return Mark(f"{failed:,} set aside", "wrong", _ALERTS)
    if owed:
        return Mark(f"{owed:,} on their way", "late", _ALERTS)
    heard = sum(states.get(state, 0) for state in ("delivered", "acknowledged", "escalated"))
    return Mark(f"{heard:,} delivered" if heard else "nothing yet", "", _ALERTS)
