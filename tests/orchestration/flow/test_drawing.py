"""Laws of the pictures, for any graph and any name."""

import re
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.flow.graph import Flow, Node
from orchestration.flow.layout import Sizes, lay_out
from orchestration.flow.mermaid import mermaid
from orchestration.flow.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
SIZES = Sizes()


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    columns = draw(st.lists(st.integers(0, 5), max_size=12))
    words = st.text(max_size=50)
    nodes = [
        Node(f"k{n}", draw(words), draw(words), "model", column, draw(words))
        for n, column in enumerate(columns)
    ]
    pairs = [(a.key, b.key) for a in nodes for b in nodes if a.column < b.column]
    arrows = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Flow(tuple(nodes), tuple(arrows))


@settings(max_examples=60)
@given(flows())
def test_boxes_keep_their_distance_and_each_arrow_goes_through_every_column(flow: Flow) -> None:
    layout = lay_out(flow)
    assert layout == lay_out(flow)
    boxes = {node.key for node in flow.nodes}
    assert {key for column in layout.columns for key in column} >= boxes
    for column in layout.columns:
        for above, below in pairwise(column):
            high = [SIZES.box if key in boxes else SIZES.lane for key in (above, below)]
            distance = layout.middles[below] - layout.middles[above] - sum(high) / 2
            assert distance >= SIZES.gap - 0.2  # heights are rounded to a tenth
    column_of = {key: at for at, column in enumerate(layout.columns) for key in column}
    assert {(route[0], route[-1]) for route in layout.routes} == set(flow.arrows)
    for route in layout.routes:
        assert all(column_of[b] == column_of[a] + 1 for a, b in pairwise(route))
    assert all(0 <= layout.middles[key] <= layout.height for key in boxes)


@settings(max_examples=60)
@given(flows(), st.text(max_size=20))
def test_any_name_gives_a_whole_picture(flow: Flow, name: str) -> None:
    page = ElementTree.fromstring(svg(flow, name=name))
    assert len(page.findall(f"{SVG}g")) == len(flow.nodes)
    assert len(page.findall(f"{SVG}path")) == len(flow.arrows)


@settings(max_examples=60)
@given(flows())
def test_no_name_ends_a_line_or_a_label_of_mermaid(flow: Flow) -> None:
    first, *rest = mermaid(flow).splitlines()
    assert first == "flowchart LR"
    labels, arrows = rest[: len(flow.nodes)], rest[len(flow.nodes) :]
    assert all(
        re.fullmatch(r'    n\d+\["[^"<>\[\]]*<br/><small>[^"<>\[\]]*</small>"\]', line) for line in labels
    )
    assert all(re.fullmatch(r"    n\d+ --> n\d+", line) for line in arrows)
    assert len(arrows) == len(flow.arrows)


def test_two_streams_that_do_not_meet_do_not_cross() -> None:
    nodes = [Node(f"{way}{at}", f"{way}{at}", "", "model", at) for at in range(4) for way in ("b", "a")]
    flow = Flow(tuple(nodes), tuple((f"{way}{at}", f"{way}{at + 1}") for way in "ab" for at in range(3)))
    layout = lay_out(flow)
    assert len({tuple(key[0] for key in column) for column in layout.columns}) == 1
    assert all(len({layout.middles[f"{way}{at}"] for at in range(4)}) == 1 for way in "ab")
