"""Debug events that are dropped are never made into messages; the others are what dbt makes."""

from typing import Any

import pytest
from dbt.adapters.events.types import SQLQuery
from dbt.events.types import NodeStart, SkippingDetails
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager_client import get_event_manager
from dbt_common.events.functions import fire_event
from dbt_common.events.types import Note

from orchestration.dbt import events
from orchestration.dbt.events import NodeCosts, without_debug_events

NODE = {"unique_id": "model.tiny.first", "node_status": "success"}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The events that were made into messages."""
    names, original = list[str](), events._make

    def noted(event: BaseEvent, *args: Any, **fields: Any) -> None:
        names.append(type(event).__name__)
        original(event, *args, **fields)

    monkeypatch.setattr(events, "_make", noted)
    return names


def test_a_dropped_event_is_never_made(made: list[str]) -> None:
    with without_debug_events(NodeCosts()):
        fire_event(SQLQuery(conn_name="first", sql="select 1", node_info=NODE))
        assert made == []
        fire_event(NodeStart(node_info=NODE))
        assert made == ["NodeStart"], "who counts CPU reads it"


def test_what_is_read_is_made_then_and_says_what_dbt_would(made: list[str]) -> None:
    fields: dict[str, Any] = {"conn_name": "first", "sql": "select 1", "node_info": NODE}
    plain = SQLQuery(**fields)
    with without_debug_events(NodeCosts()):
        late = SQLQuery(**fields)
        assert made == ["SQLQuery"]
        assert late.message() == plain.message()
        assert late.to_dict() == plain.to_dict()
        assert made == ["SQLQuery", "SQLQuery"], "once, not with each look"
        late.sql = "select 2"
        assert late.sql == "select 2"
        unread = SQLQuery(**fields)
        unread.sql = "select 3"
        assert unread.to_dict()["sql"] == "select 3"
        assert not hasattr(unread, "nothing_of_this_name")


def test_an_event_that_counts_is_made_at_once(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with without_debug_events(NodeCosts()):
        fired: list[str] = []
        manager = get_event_manager()
        monkeypatch.setattr(type(manager).__mro__[1], "fire_event", lambda _, e, *rest: fired.append(e.msg))
        fire_event(Note(msg="to be seen"), level=EventLevel.WARN)
        fire_event(Note(msg="not to be seen"), level=EventLevel.DEBUG)
        assert fired == ["to be seen"]
    SkippingDetails(resource_type="model", schema="s", node_name="n", index=1, total=2, node_info=NODE)
    assert made[-1] == "SkippingDetails", "outside, dbt makes each"


def test_what_cannot_be_made_is_refused_as_dbt_does() -> None:
    wrong: dict[str, Any] = {"conn_name": {"not": "text"}}
    with pytest.raises(Exception, match="Unable to parse logging event"):
        SQLQuery(**wrong)
    with without_debug_events(NodeCosts()):
        late = SQLQuery(**wrong)  # nobody reads it, and nobody hears of it
        with pytest.raises(Exception, match="Unable to parse logging event"):
            late.message()
