"""What upkeep asks of Dagster's records, on the storage that an installation has."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
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
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.records.overview import OverviewReader
from orchestration.records.reader import DagsterRecords
from orchestration.system.instance import dagster_environment, prepare_instance

HOUR = timedelta(hours=1)


@asset
def table() -> None: ...


def check(
    name: str, *, passed: bool, severity: AssetCheckSeverity, snapshot_id: int
) -> AssetChecksDefinition:
    @asset_check(asset=table, name=name)
    def made() -> AssetCheckResult:
        return AssetCheckResult(passed=passed, severity=severity, metadata={"snapshot_id": snapshot_id})

    return made


def test_the_versions_in_which_a_check_failed_are_known(
    settings: Settings, instance: DagsterInstance
) -> None:
    error, warning = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN
    checks = [
        check("failed", passed=False, severity=error, snapshot_id=7),
        check("warned", passed=False, severity=warning, snapshot_id=8),
        check("passed", passed=True, severity=error, snapshot_id=9),
    ]
    assert materialize([table, *checks], instance=instance).success
    records, now = DagsterRecords(settings), datetime.now(UTC)
    try:
        assert records.failed_versions(since=now - HOUR) == {7}
        assert records.failed_versions(since=now + HOUR) == frozenset()
    finally:
        records.close()
    assert isinstance(instance.event_log_storage, SqlEventLogStorage), "upkeep could not forget check results"


def test_a_failed_try_to_build_is_not_the_last_build(settings: Settings, instance: DagsterInstance) -> None:
    @asset(name="table")
    def failing() -> None:
        raise ValueError("no such column")

    assert materialize([table], instance=instance).success
    records = DagsterRecords(settings)
    try:
        (built,) = records.assets()
        assert (built.asset, datetime.now(UTC) - built.built_at < HOUR) == ("table", True)
        assert not materialize([failing], instance=instance, raise_on_error=False).success
        assert records.assets() == [built]
    finally:
        records.close()


def test_times_of_runs_are_true_in_a_database_of_another_time_zone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster leaves the time of creation to the server, in the time zone of its session."""
    with psycopg2.connect(str(settings.catalog and settings.catalog.get_secret_value())) as connection:
        name = connection.info.dbname
        with connection.cursor() as cursor:
            cursor.execute(f"alter database {name} set timezone to 'Asia/Tokyo'")
    connection.close()
    for variable, value in dagster_environment(settings).items():
        monkeypatch.setenv(variable, value)
    began = datetime.now(UTC)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        assert materialize([table], instance=instance).success
    records = DagsterRecords(settings)
    (run,) = records.runs(since=began - timedelta(minutes=1))
    assert abs(run.created_at - began) < timedelta(minutes=5)
    assert run.started_at is not None
    assert abs(run.started_at - began) < timedelta(minutes=5)
    assert records.runs(since=began + HOUR) == []
    records.close()


def test_a_lake_without_its_tables_has_not_been_made_yet(settings: Settings) -> None:
    """As `millrace up` leaves it when it is killed in the first moment of a new lake."""
    with Lake(settings) as lake:
        lake.snapshot_id()
    with closing(OverviewReader(settings, [])) as reader:
        assert reader.read().errors[0] == (
            "the lake has not been made yet: 'millrace up' or 'millrace ingest' makes it"
        )
