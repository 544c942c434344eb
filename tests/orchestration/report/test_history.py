"""What is summed over days in Dagster's storage says what `millrace status` says of single results."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    DagsterInstance,
    asset,
    asset_check,
    materialize,
)

from ingestion.settings import Settings
from orchestration.records.history import check_history, freshness_history, job_history, recorded_since
from orchestration.records.reader import DagsterRecords
from orchestration.system.instance import dagster_environment, prepare_instance

HOUR = timedelta(hours=1)
ERROR, WARN = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN
FRESH = {
    "measured": 3.5, "budget_seconds": 5.0, "waiting_seconds": 1.0, "reading_seconds": 0.5,
    "loading_seconds": 0.5, "building_seconds": 1.5,
}  # fmt: skip


@asset(key=["marts", "orders"])
def orders() -> None: ...


def check(name: str, *, passed: bool = True, severity: AssetCheckSeverity = ERROR, **metadata: object):
    @asset_check(asset=orders, name=name)
    def made() -> AssetCheckResult:
        return AssetCheckResult(passed=passed, severity=severity, metadata=metadata)

    return made


CHECKS: list[AssetChecksDefinition] = [
    check("good", outcome="passed"),
    check("plain_failure", passed=False),
    check("failed", passed=False, outcome="failed"),
    check("warned", passed=False, severity=WARN, outcome="warned"),
    check("broken", passed=False, outcome="could_not_run"),
    check("broken_softly", passed=False, severity=WARN, outcome="could_not_run"),
    check("freshness_budget", **FRESH),
]


@pytest.fixture
def records(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterRecords]:
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        for _ in range(3):
            assert materialize([orders, *CHECKS], instance=instance).success
    with closing(DagsterRecords(settings)) as records:
        yield records


def test_the_sums_are_those_of_the_single_results(records: DagsterRecords) -> None:
    since = datetime.now(UTC) - HOUR
    single = Counter((each.asset, each.check, each.outcome) for each in records.checks_since(since))
    assert {outcome for _, _, outcome in single} == {"passed", "warned", "failed", "could_not_run"}
    found = check_history(records, since=since, slot_seconds=60, slots=61)
    summed = Counter(
        {(each.asset, each.check, name): count for each in found for name, count in each.counts().items()}
    )
    assert +summed == single
    assert len(found) == len(CHECKS)


def test_results_lie_in_the_slot_of_their_time(records: DagsterRecords) -> None:
    first = recorded_since(records, datetime.now(UTC) - HOUR)
    assert first is not None
    early = check_history(records, since=first - timedelta(seconds=90), slot_seconds=60, slots=60)
    assert {at for each in early for at in each.slots} <= {1, 2, 3, 4, 5}
    assert check_history(records, since=datetime.now(UTC) + HOUR, slot_seconds=60, slots=10) == []
    last = check_history(records, since=first - timedelta(seconds=90), slot_seconds=1, slots=5)
    assert {at for each in last for at in each.slots} == {4}  # what came later belongs to the last


def test_measured_freshness_is_what_the_check_has_recorded(records: DagsterRecords) -> None:
    measured = freshness_history(records, ["marts/orders", "marts/none"], since=datetime.now(UTC) - HOUR)
    assert measured["marts/none"] == []
    assert [(each.seconds, each.budget_seconds, each.hops) for each in measured["marts/orders"]] == [
        (3.5, 5.0, (1.0, 0.5, 0.5, 1.5))
    ] * 3


def test_runs_are_summed_by_job(records: DagsterRecords) -> None:
    (job,) = job_history(records, since=datetime.now(UTC) - HOUR)
    assert job.states == {"SUCCESS": 3}
    assert 0 < job.longest_seconds <= job.seconds
