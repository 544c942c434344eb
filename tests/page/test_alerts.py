"""The page Alerts: open alerts with what became of them by the ledger of reactions, the ended ones below."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.conditions.condition import Condition, Finding
from orchestration.conditions.rule_alerts import subject_of
from orchestration.dbt.alert_tables import AlertTable, alert_tables
from orchestration.page.alertcontent import MOST_OPEN, AlertContent, read_alerts
from orchestration.page.heard import Heard, HeardReader
from orchestration.page.look import Look
from orchestration.page.views.alerts import alerts_tiles
from orchestration.page.views.conditions import open_tiles, over_tiles
from orchestration.reactions.alert import notice
from orchestration.reactions.ledger import Ledger
from orchestration.records.overview import Overview
from orchestration.records.system_state import SystemState
from tests.page.reading import shown

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOK = Look(NOW, Overview("/data", running=True, demo=False, ui_url=""))
STATE = SystemState(1, "up", "", NOW.isoformat())
TABLE = AlertTable("model.p.alerts", "alerts", "marts", "alerts", "device", ("critical",))
HOT = Condition(
    1, Finding("rule_alert", subject_of("hot", "m-1"), "'m-1' breaks 'hot'"), NOW - timedelta(minutes=5)
)  # fmt: skip


def make_alerts(lake: Lake) -> None:
    lake.query("create schema marts")
    lake.query(
        """
        create table marts.alerts as
        from (values
            ('hot', 'm-1', 'critical', '2026-03-01 11:55:00Z'::timestamptz, null, 91.5::double, '<b>'),
            ('cold', 'm-2', 'warning', timestamptz '2026-03-01 11:58:00Z', null, -3.0, null),
            ('hot', 'm-3', 'critical', timestamptz '2026-03-01 10:00:00Z', '2026-03-01 11:00:00Z', 88.0, null)
        ) t(rule_id, device, severity, opened_at, closed_at, peak_value, line_id)
        """
    )


def heard(folder: Path, condition: Condition, *, attempts: int, gives_up: bool = False) -> Heard:
    """By a webhook that refused the opening so often, and then gave up or took it."""
    ledger = Ledger(folder)
    ledger.note([notice(condition, "opened", "hook", journal="j", open_count=1, system="s", now=NOW)])
    for number in range(attempts):
        (entry,) = ledger.owed("hook")
        ledger.refused([entry], why="503 <busy>", now=NOW, gives_up=gives_up and number == attempts - 1)
    if not gives_up:
        (entry,) = ledger.owed("hook")
        ledger.delivered([entry], answer="200", now=NOW)
    return HeardReader(folder).read()


def test_open_and_ended_alerts_are_read_with_their_values(settings: Settings, lake: Lake) -> None:
    make_alerts(lake)
    content = read_alerts(lake, [TABLE])
    assert [(each.rule, each.key, each.is_condition) for each in content.open] == [
        ("hot", "m-1", True), ("cold", "m-2", False)
    ]  # fmt: skip
    assert content.open_count == 2
    assert dict(content.open[0].values) == {"peak_value": 91.5, "line_id": "<b>"}
    assert [each.key for each in content.ended] == ["m-3"]
    plain = read_alerts(lake, [replace(TABLE, severities=())])
    assert [each.key for each in plain.open] == ["m-2", "m-1"], "without conditions the newest is first"
    missing = read_alerts(lake, [replace(TABLE, name="other", table="other"), TABLE])
    assert [model for model, _ in missing.why_not] == ["other"]
    assert missing.open == content.open, "a model that is not built hides no other"


def test_many_alerts_are_counted_and_the_first_shown(lake: Lake) -> None:
    make_alerts(lake)
    lake.query(
        "insert into marts.alerts select 'many', 'k' || n, 'warning', now(), null, n, null "
        "from range(500) as r(n)"
    )
    content = read_alerts(lake, [TABLE])
    assert len(content.open) == MOST_OPEN
    assert content.open[0].key == "m-1", "what is a condition comes first"
    text = shown(alerts_tiles(LOOK, content, [], Heard())["rule_alerts"])
    assert f"the first {MOST_OPEN} of 502" in text


def test_an_alert_shows_what_became_of_it(tmp_path: Path, lake: Lake) -> None:
    make_alerts(lake)
    content = read_alerts(lake, [TABLE])
    states = {
        "delivered": heard(tmp_path / "a", HOT, attempts=0),
        "delivered 0s ago after 3 tries": heard(tmp_path / "b", HOT, attempts=2),
        "failed after 2 tries, set aside : 503 <busy>": heard(tmp_path / "c", HOT, attempts=2, gives_up=True),
        "no reaction hears of it": Heard(),
    }
    for words, known in states.items():
        tiles = alerts_tiles(LOOK, content, [HOT], known)
        text = shown(tiles["rule_alerts"])
        assert words in text, text
        assert "<b>" not in tiles["rule_alerts"], "values are escaped"
        assert "stays in the mart" in text, "of the severity that is no condition"
    assert "no condition of its own" in shown(alerts_tiles(LOOK, content, [], Heard())["rule_alerts"])
    assert "m-3" in shown(tiles["ended"])


def test_conditions_and_what_is_over_say_who_has_heard(tmp_path: Path) -> None:
    known = heard(tmp_path, HOT, attempts=2, gives_up=True)
    is_open = shown(open_tiles([HOT], STATE, view="journal", heard=known, now=NOW)["open"])
    assert "hook, opening: failed after 2 tries, set aside" in is_open
    over = over_tiles([replace(HOT, closed=NOW)], known, now=NOW)
    assert "hook, opening: failed" in shown(over["journal"])
    assert "hook: 1 failed" in shown(over["reactions"])
    again = replace(HOT, opened=NOW - timedelta(days=1))
    assert "hook" not in shown(open_tiles([again], STATE, view="journal", heard=known, now=NOW)["open"])


def test_the_ledger_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    reader = HeardReader(tmp_path)
    assert reader.read() == Heard()
    heard(tmp_path, HOT, attempts=0)
    first = reader.read()
    assert first.done
    assert reader.read() is first


def test_without_a_model_of_alerts_the_page_says_how_to_make_one() -> None:
    assert "docs/rules.md" in shown(alerts_tiles(LOOK, AlertContent(), [], Heard())["rule_alerts"])
    node = {"resource_type": "model", "name": "m", "schema": "marts", "alias": "m", "config": {"meta": {}}}
    assert not list(alert_tables({"nodes": {"model.p.m": node}}))
