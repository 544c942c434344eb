"""An alert is known as soon as what it is read from is built, not when the build ends."""

from collections.abc import Callable

import pytest
from dagster import AssetKey

from ingestion.errors import CatalogUnavailable
from ingestion.lake.lake import Lake
from orchestration.assets.rule_alerts import AlertModel, EarlyLook
from orchestration.conditions.rule_alerts import rule_alert_findings

STAGED, RUNS, OTHER = (AssetKey(["marts", name]) for name in ("staged", "runs", "other"))
ALERTS = AssetKey(["marts", "alerts"])
MODEL = AlertModel(
    "alerts", '"lake"."marts"."alerts"', "machine_id", ("critical",), frozenset({STAGED, RUNS, ALERTS}),
    {"readings": frozenset({STAGED, RUNS})},
)  # fmt: skip


@pytest.fixture
def open_alert(lake: Lake) -> Callable[[str], None]:
    """Opens an alert of a machine, as a build of `runs` does."""
    lake.prepare(["readings"])
    lake.connection.execute("create schema lake.marts")
    lake.connection.execute(
        "create table lake.marts.alerts (rule_id varchar, machine_id varchar, severity varchar, "
        "opened_at timestamptz, closed_at timestamptz)"
    )

    def alert(machine: str) -> None:
        lake.connection.execute(
            "insert into lake.marts.alerts values ('hot', ?, 'critical', '2026-03-01 08:00:00+00', null)",
            [machine],
        )

    return alert


def subjects(lake: Lake) -> set[str]:
    return {each.subject for each in rule_alert_findings(lake.settings.data_dir)}


def test_alerts_are_looked_at_once_when_the_last_table_before_them_is_built(
    lake: Lake, open_alert: Callable[[str], None]
) -> None:
    look = EarlyLook(lake, [MODEL], tables=frozenset({STAGED, RUNS, OTHER}), traceparent="")
    open_alert("m-1")
    look.note(STAGED)
    assert (subjects(lake), look.seen) == (set(), set())
    look.note(RUNS)
    assert (subjects(lake), look.seen) == ({"hot of m-1"}, {"alerts"})
    open_alert("m-2")
    look.note(OTHER)
    assert subjects(lake) == {"hot of m-1"}, "what was built since does not belong to them"


def test_what_follows_from_no_table_of_this_build_is_left_to_its_end(
    lake: Lake, open_alert: Callable[[str], None]
) -> None:
    look = EarlyLook(lake, [MODEL], tables=frozenset({OTHER}), traceparent="")
    open_alert("m-1")
    look.note(OTHER)
    assert (subjects(lake), look.seen) == (set(), set())


def test_a_lake_that_does_not_answer_is_left_to_the_end_of_the_build(
    lake: Lake, open_alert: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = EarlyLook(lake, [MODEL], tables=frozenset({RUNS}), traceparent="")
    open_alert("m-1")

    def away(*_: object) -> None:
        raise CatalogUnavailable("the catalog is away")

    monkeypatch.setattr(lake, "query", away)
    look.note(RUNS)
    assert (subjects(lake), look.seen) == (set(), set())
