"""A flow as text of Mermaid, which GitHub, GitLab and many wikis draw: https://mermaid.js.org/syntax/flowchart.html."""

from collections.abc import Iterator

from orchestration.flow.graph import Flow, Node, Stage

_SHAPES: dict[Stage, tuple[str, str]] = {
    "source": ("([", "])"),
    "buffer": ("[/", "/]"),
    "raw": ("[(", ")]"),
    "model": ("[", "]"),
    "seed": ("[", "]"),
    "left_out": ("{{", "}}"),
    "exposure": (">", "]"),
    "serving": ("[(", ")]"),
    "conditions": ("{{", "}}"),
    "reaction": (">", "]"),
}


def mermaid(flow: Flow) -> str:
    """A flowchart from left to right; the same flow gives the same text."""
    return "\n".join(_lines(flow)) + "\n"


def _lines(flow: Flow) -> Iterator[str]:
    numbers = {node.key: f"n{number}" for number, node in enumerate(flow.nodes)}
    yield "flowchart LR"
    for node in flow.nodes:
        opening, closing = _SHAPES[node.stage]
        yield f'    {numbers[node.key]}{opening}"{_label(node)}"{closing}'
    for source, target in flow.arrows:
        yield f"    {numbers[source]} --> {numbers[target]}"


def _label(node: Node) -> str:
    return f"{_escaped(node.title)}<br/><small>{_escaped(node.caption)}</small>"


def _escaped(text: str) -> str:
    """Whatever Mermaid or HTML could take for its own, as entities of Mermaid (`#35;`)."""
    return "".join(
        char if char.isalnum() or char in " _.,-/:()" else f"#{ord(char)};"
        for char in text
        if char.isprintable()
    )
