"""A flow as one SVG file: light and dark, and what its owner says of a box appears under the pointer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from orchestration.flow.graph import Flow, Node
from orchestration.flow.layout import Layout, Sizes, lay_out

_MARGIN, _HEADING, _BETWEEN = 20.0, 26.0, 46.0
_BETWEEN_MARKED = 96.0  # a rate or a lag stands there
_TITLE_PIXELS, _CAPTION_PIXELS = 8.2, 6.1  # a letter's width, generously: the reader's font is not known
_LEAST_WIDTH, _PADDING, _LONGEST = 96.0, 12.0, 40
_HEADINGS = {"source": "sources", "buffer": "buffer", "raw": "raw"}
STYLE = """
text { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, Arial, sans-serif; fill: #1f2937 }
.title { font-size: 13px; font-weight: 600 } .caption { font-size: 11px; fill: #57606a }
.heading { font-size: 11px; fill: #57606a; letter-spacing: .06em; text-transform: uppercase }
.box { stroke-width: 1.2; fill: #ffffff; stroke: #8c959f }
.source .box { fill: #ddf4ff; stroke: #54aeff } .buffer .box { fill: #fff8c5; stroke: #d4a72c }
.raw .box { fill: #ffe8d6; stroke: #e16f24 } .model .box { fill: #dafbe1; stroke: #4ac26b }
.seed .box { fill: #f6f8fa; stroke: #8c959f } .exposure .box { fill: #fbefff; stroke: #c297ff }
.left_out .box { fill: #ffebe9; stroke: #cf222e; stroke-dasharray: 4 3 }
.serving .box, .conditions .box, .reaction .box { fill: #e8f0fe; stroke: #5b7db8 }
.arrow { fill: none; stroke: #8c959f; stroke-width: 1.4 } .tip { fill: #8c959f } .page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .caption, .heading { fill: #9198a1 } .page { fill: #0d1117 }
.source .box { fill: #0c2d6b; stroke: #388bfd } .buffer .box { fill: #3b2300; stroke: #bb8009 }
.raw .box { fill: #3d1300; stroke: #db6d28 } .model .box { fill: #033a16; stroke: #2ea043 }
.seed .box { fill: #151b23; stroke: #656c76 } .exposure .box { fill: #2a1648; stroke: #a371f7 }
.left_out .box { fill: #490202; stroke: #f85149 }
.serving .box, .conditions .box, .reaction .box { fill: #14243d; stroke: #6b8fd0 }
.arrow { stroke: #656c76 } .tip { fill: #656c76 }
}
"""


@dataclass(frozen=True)
class Mark:
    """What is said of a box or an arrow of a running system.

    Attributes:
        text: Takes the place of the box's caption, or stands on the arrow.
        state: A class of the drawing; empty for none.
        href: Where a click on the box leads; empty for nowhere.
    """

    text: str = ""
    state: str = ""
    href: str = ""


@dataclass(frozen=True)
class Marks:
    """What is said of boxes, by their keys, and of arrows, by the keys of their ends."""

    boxes: Mapping[str, Mark] = field(default_factory=dict)
    arrows: Mapping[tuple[str, str], Mark] = field(default_factory=dict)


_UNMARKED = Mark()


def svg(flow: Flow, *, name: str) -> str:
    """The picture as a file of its own; the same flow gives the same text.

    Args:
        flow: What is drawn.
        name: Of the whole, for those who hear pages.
    """
    return drawing(flow, name=name, style=STYLE)


def drawing(flow: Flow, *, name: str, style: str = "", marks: Marks | None = None) -> str:
    """The picture; the same flow with the same marks gives the same text.

    Args:
        flow: What is drawn.
        name: Of the whole, for those who hear pages.
        style: Its CSS; empty in a page that has STYLE already.
        marks: What is said of the running system.
    """
    marks = marks or Marks()
    sizes, name = Sizes(), _printable(name)
    layout = lay_out(flow, sizes)
    nodes = {node.key: node for node in flow.nodes}
    widths = [
        max([_LEAST_WIDTH, *(_width(nodes[key], marks.boxes) for key in column if key in nodes)])
        for column in layout.columns
    ]
    lefts, right, between = list[float](), _MARGIN, _BETWEEN
    said = _columns_with_words(layout, marks.arrows)
    for at, width in enumerate(widths):
        lefts.append(right)
        between = _BETWEEN_MARKED if at in said else _BETWEEN
        right += width + between
    total = max(right - between + _MARGIN, 2 * _MARGIN)
    height = layout.height + _HEADING + 2 * _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:g} {height:g}" width="{total:g}"'
        f' height="{height:g}" role="img" aria-label={quoteattr(name)}>',
        f"<title>{escape(name)}</title>",
        *([f"<style>{style}</style>"] if style else []),
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect class="page" width="{total:g}" height="{height:g}" rx="8"/>',
        *_headings(layout, nodes, lefts),
        *_arrows(layout, lefts, widths, marks.arrows),
        *(
            _box(nodes[key], layout.middles[key], lefts[at], widths[at], sizes, marks.boxes.get(key))
            for at, key in _boxes(layout, nodes)
        ),
        *_said(layout, lefts, widths, marks.arrows),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes(layout: Layout, nodes: Mapping[str, Node]) -> Iterator[tuple[int, str]]:
    for at, column in enumerate(layout.columns):
        yield from ((at, key) for key in column if key in nodes)


def _headings(layout: Layout, nodes: Mapping[str, Node], lefts: Sequence[float]) -> Iterator[str]:
    modelled = False
    for at, column in enumerate(layout.columns):
        stages = [nodes[key].stage for key in column if key in nodes]
        word = next(
            (_HEADINGS[stage] for stage in stages if stage in _HEADINGS), "" if modelled else "models"
        )
        modelled = modelled or word == "models"
        if word:
            yield f'<text class="heading" x="{lefts[at]:g}" y="{_MARGIN + 8:g}">{word}</text>'


def _arrows(
    layout: Layout,
    lefts: Sequence[float],
    widths: Sequence[float],
    marks: Mapping[tuple[str, str], Mark],
) -> Iterator[str]:
    column = {key: at for at, keys in enumerate(layout.columns) for key in keys}
    for route in layout.routes:
        at = column[route[0]]
        x, y = lefts[at] + widths[at], _down(layout.middles[route[0]])
        path = [f"M{x:g} {y:g}"]
        for key in route[1:]:
            at, to = column[key], _down(layout.middles[key])
            half = (lefts[at] - x) / 2
            path.append(f"C{x + half:g} {y:g} {lefts[at] - half:g} {to:g} {lefts[at]:g} {to:g}")
            x, y = lefts[at], to
            if key != route[-1]:
                x += widths[at]
                path.append(f"H{x:g}")
        state = marks.get((route[0], route[-1]), _UNMARKED).state
        kind = f"arrow {state}" if state else "arrow"
        yield f'<path class="{kind}" d="{" ".join(path)}" marker-end="url(#tip)"/>'


def _columns_with_words(layout: Layout, marks: Mapping[tuple[str, str], Mark]) -> frozenset[int]:
    """The columns after which words stand on arrows."""
    column = {key: at for at, keys in enumerate(layout.columns) for key in keys}
    return frozenset(
        column[route[0]] for route in layout.routes if marks.get((route[0], route[-1]), _UNMARKED).text
    )


def _said(
    layout: Layout,
    lefts: Sequence[float],
    widths: Sequence[float],
    marks: Mapping[tuple[str, str], Mark],
) -> Iterator[str]:
    """What stands on arrows, in the gap after the box from which each comes."""
    column = {key: at for at, keys in enumerate(layout.columns) for key in keys}
    for route in layout.routes:
        mark = marks.get((route[0], route[-1]), _UNMARKED)
        if not mark.text:
            continue
        at = column[route[0]]
        x = lefts[at] + widths[at] + (lefts[at + 1] - lefts[at] - widths[at]) / 2
        y = (_down(layout.middles[route[0]]) + _down(layout.middles[route[1]])) / 2
        kind = f"said {mark.state}" if mark.state else "said"
        lines = mark.text.split("\n")
        for number, line in enumerate(lines):
            down = y - 5 - 12 * (len(lines) - 1 - number) if number < len(lines) - 1 else y + 14
            if len(lines) == 1:
                down = y - 5
            yield f'<text class="{kind}" text-anchor="middle" x="{x:g}" y="{down:g}">{escape(line)}</text>'


def _box(node: Node, middle: float, left: float, width: float, sizes: Sizes, mark: Mark | None = None) -> str:
    mark = mark or _UNMARKED
    top, text = _down(middle) - sizes.box / 2, left + _PADDING
    about = _printable(f"{node.title}: {node.about}" if node.about else node.title)
    radius = sizes.box / 2 if node.stage == "source" else 6
    kind, caption = f"{node.stage} {mark.state}".rstrip(), _short(_caption(node, mark))
    box = (
        f'<g class="{kind}"><title>{escape(about)}</title>'
        f'<rect class="box" x="{left:g}" y="{top:g}" width="{width:g}" height="{sizes.box:g}"'
        f' rx="{radius:g}"/>'
        f'<text class="title" x="{text:g}" y="{top + 20:g}">{escape(_short(node.title))}</text>'
        f'<text class="caption" x="{text:g}" y="{top + 36:g}">{escape(caption)}</text></g>'
    )
    return f"<a href={quoteattr(mark.href)}>{box}</a>" if mark.href else box


def _caption(node: Node, mark: Mark) -> str:
    return mark.text or node.caption


def _down(middle: float) -> float:
    return round(middle + _MARGIN + _HEADING, 1)


def _width(node: Node, marks: Mapping[str, Mark]) -> float:
    caption = _caption(node, marks.get(node.key, _UNMARKED))
    letters = max(len(_short(node.title)) * _TITLE_PIXELS, len(_short(caption)) * _CAPTION_PIXELS)
    return round(letters + 2 * _PADDING, 1)


def _short(text: str) -> str:
    shown = _printable(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _printable(text: str) -> str:
    """Without what XML has no place for, such as control characters."""
    return "".join(char for char in text if char.isprintable())
