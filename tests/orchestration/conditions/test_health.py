"""What Dagster's storage says of its own parts, on the storage that an installation has."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    DagsterInstance,
    DagsterRunStatus,
    Failure,
    asset,
    asset_check,
    job,
    materialize,
    op,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from ingestion.clock import StampAges
from ingestion.errors import CatalogUnavailable
from ingestion.settings import Settings, load_settings
from orchestration.conditions.condition import Finding
from orchestration.observe import dagster as looks
from orchestration.records.reader import DagsterRecords


@pytest.fixture
def records(settings: Settings) -> Iterator[DagsterRecords]:
    records = DagsterRecords(settings)
    yield records
    records.close()


def look(records: DagsterRecords, *, after: timedelta = timedelta(0)) -> dict[str, str]:
    """Kind → sentence of what is found so much later."""
    found = looks.look(records, checks=None, age=lambda stamp: datetime.now(UTC) + after - stamp)
    return {finding.name: finding.sentence for finding in found}


def sensor_state(status: InstigatorStatus) -> InstigatorState:
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("millrace"), "__repository__"), "arrivals"
    )
    return InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData())


def tick(instance: DagsterInstance, state: InstigatorState, status: TickStatus, error: str = "") -> None:
    info = SerializableErrorInfo(error, [], "Error", None) if error else None
    instance.create_tick(
        TickData(
            state.instigator_origin_id, state.name, state.instigator_type, status,
            datetime.now(UTC).timestamp(), error=info, selector_id=state.selector_id,
        )
    )  # fmt: skip


def test_a_storage_without_records_has_nothing_to_complain_of(records: DagsterRecords) -> None:
    assert look(records) == {}


def test_a_sensor_that_is_off_and_one_that_fails(instance: DagsterInstance, records: DagsterRecords) -> None:
    state = sensor_state(InstigatorStatus.DECLARED_IN_CODE)
    instance.add_instigator_state(state)
    tick(instance, state, TickStatus.SKIPPED)
    assert look(records) == {}
    tick(instance, state, TickStatus.FAILURE, "it broke\n")
    tick(instance, state, TickStatus.STARTED)
    assert look(records) == {"sensor_failing": "the sensor 'arrivals' fails: it broke"}
    instance.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
    sentence = "the sensor 'arrivals' was switched off: no event is brought into the lake by itself"
    assert look(records) == {"sensor_off": sentence}
    instance.update_instigator_state(state.with_status(InstigatorStatus.RUNNING))
    tick(instance, state, TickStatus.SKIPPED)
    assert look(records) == {}


def test_a_job_whose_last_run_failed(instance: DagsterInstance, records: DagsterRecords) -> None:
    fails = True

    @op
    def works() -> None:
        if fails:
            raise Failure("the disk\nis full")

    @job
    def maintain() -> None:
        works()

    @job
    def refresh() -> None:
        works()

    for each in (maintain, refresh):
        each.execute_in_process(instance=instance, raise_on_error=False)
    assert look(records) == {"job_failing": "the last run of job 'maintain' failed: the disk is full"}
    assert look(records, after=timedelta(hours=25)) == {}, "a job that is run by hand may have no later run"
    fails = False
    maintain.execute_in_process(instance=instance)
    assert look(records) == {}


def test_a_run_that_does_not_go_on(instance: DagsterInstance, records: DagsterRecords) -> None:
    starting = create_run_for_test(instance, job_name="audit", status=DagsterRunStatus.STARTING)
    assert look(records) == {}
    found = look(records, after=timedelta(minutes=3))
    assert (
        f"run {starting.run_id[:8]} of job 'audit' (starting) has recorded nothing for more than 2 min"
        in found["run_stuck"]
    )
    instance.report_run_failed(starting)
    assert "run_stuck" not in look(records, after=timedelta(minutes=3))


def test_a_check_that_failed_unless_it_is_gone(instance: DagsterInstance, records: DagsterRecords) -> None:
    @asset
    def table() -> None: ...

    outcome = AssetCheckResult(passed=False, description="3 rows\nare wrong")

    @asset_check(asset=table)
    def rows() -> AssetCheckResult:
        return outcome

    materialize([table, rows], instance=instance)
    assert look(records) == {"check_failing": "check 'rows' of table failed: 3 rows"}
    age = StampAges().of
    assert looks.look(records, checks={("table", "others")}, age=age) == []
    assert len(looks.look(records, checks={("table", "rows")}, age=age)) == 1
    outcome = AssetCheckResult(passed=False, severity=AssetCheckSeverity.WARN)
    materialize([table, rows], instance=instance)
    assert look(records) == {}, "a warning is no condition"


def test_a_daemon_that_evaluates_nothing(instance: DagsterInstance, records: DagsterRecords) -> None:
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    late = began + timedelta(minutes=3)

    def silent(now: datetime) -> Finding | None:
        return looks.silent_daemon(records, within=now - began, age=lambda stamp: now - stamp)

    assert silent(began + timedelta(minutes=1)) is None
    found = silent(late)
    assert found is not None
    assert found.sentence == "daemon has evaluated no sensor for more than 2 min: nothing starts runs"
    instance.add_daemon_heartbeat(DaemonHeartbeat(late.timestamp(), "SENSOR", "one", []))
    assert silent(late) is None
    assert silent(late + timedelta(minutes=3)) is not None


def test_a_storage_that_is_away_is_an_expected_error() -> None:
    records = DagsterRecords(load_settings(catalog="postgresql://nobody@127.0.0.1:1/lake"))
    with pytest.raises(CatalogUnavailable, match="cannot be reached"):
        looks.look(records, checks=None, age=StampAges().of)
