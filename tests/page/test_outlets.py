"""The Flow page draws where marts and alerts go: PostgreSQL and the reactions, with what waits there."""

from dataclasses import replace

import pytest

from orchestration.conditions.condition import Condition, Finding
from orchestration.flow.graph import Flow, Node
from orchestration.flow.outlets import CONDITIONS, SERVING, key_of, with_outlets
from orchestration.page.views.flow import flow_tiles
from orchestration.page.views.outlets import outlet_marks
from tests.page.reading import shown
from tests.page.test_views import BUSY, NOW

MODELS = Flow(
    (
        Node("raw.orders", "raw.orders", "", "raw", 2),
        Node("m.totals", "totals", "marts, table", "model", 3),
        Node("m.hot", "hot", "marts, table", "model", 4),
    ),
    (("raw.orders", "m.totals"), ("m.totals", "m.hot")),
)


def outlets(**given: list[str]) -> Flow:
    return with_outlets(MODELS, **{"published": [], "alerting": [], "reactions": []} | given)


def test_without_outlets_the_flow_stays_as_it_is() -> None:
    assert outlets() == MODELS
    assert outlets(published=["of another project"]) == MODELS


def test_published_marts_lead_to_the_database_and_alerts_to_reactions() -> None:
    flow = outlets(published=["totals", "hot"], alerting=["hot"], reactions=["pager", "mail"])
    assert set(flow.arrows) - set(MODELS.arrows) == {
        ("m.totals", SERVING), ("m.hot", SERVING), ("m.hot", CONDITIONS),
        (CONDITIONS, key_of("pager")), (CONDITIONS, key_of("mail")),
    }  # fmt: skip
    columns = {node.key: node.column for node in flow.nodes}
    assert all(columns[source] < columns[target] for source, target in flow.arrows)


@pytest.mark.parametrize(
    ("states", "text", "state"),
    [
        ({}, "nothing yet", ""),
        ({"delivered": 2, "acknowledged": 1, "suppressed": 9}, "3 delivered", ""),
        ({"delivered": 2, "pending": 1}, "1 on their way", "late"),
        ({"pending": 1, "failed": 4}, "4 set aside", "wrong"),
    ],
)
def test_a_reaction_says_what_became_of_its_alerts(states: dict[str, int], text: str, state: str) -> None:
    look = replace(BUSY, overview=replace(BUSY.overview, reactions={"pager": states}))
    mark = outlet_marks(look, outlets(reactions=["pager"])).boxes[key_of("pager")]
    assert (mark.text, mark.state) == (text, state)


def test_the_page_shows_the_lag_of_serving_and_what_is_open() -> None:
    flow = outlets(published=["totals"], reactions=["pager"])
    behind = Condition(1, Finding("serving_behind", "serving", "it does not answer"), NOW)
    overview = replace(BUSY.overview, publishing={"totals": 2.5}, reactions={"pager": {}})
    calm = outlet_marks(replace(BUSY, overview=overview), flow)
    assert calm.boxes[CONDITIONS].text == "nothing is wrong"
    assert (calm.boxes[SERVING].text, calm.boxes[SERVING].state) == ("1 mart, shown 2.5 s later", "")
    assert calm.arrows == {}
    unknown = outlet_marks(replace(BUSY, overview=replace(overview, publishing={})), flow)
    assert unknown.boxes[SERVING].text == "1 mart"
    look = replace(BUSY, overview=replace(overview, conditions=(behind,)))
    marks = outlet_marks(look, flow)
    assert (marks.boxes[CONDITIONS].text, marks.boxes[SERVING].state) == ("1 open", "wrong")
    said = shown(flow_tiles(look, flow)["flow"])
    for part in ("PostgreSQL", "1 open", "pager", "nothing yet"):
        assert part in said
