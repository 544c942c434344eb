"""The job `maintain` and the purge of old runs, on a real Dagster instance and a real lake."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckResult,
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    asset,
    asset_check,
    job,
    materialize,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from sqlalchemy import text

from ingestion.lake.catalog import process_name, writer_lock
from ingestion.settings import Settings
from orchestration.cli.maintain import run, show
from orchestration.conditions.kinds import CONDITIONS_ASSET
from orchestration.jobs.upkeep import purge, upkeep_job
from orchestration.records.condition_results import purge_results
from orchestration.run.resources import lake_session
from tests.ingestion.test_maintenance import STREAM, Lake, contents, load

CHECKED = AssetCheckKey(AssetKey("often"), "checked")


@asset
def often() -> None:
    pass


@asset
def once() -> None:
    pass


@asset_check(asset=often)
def checked() -> AssetCheckResult:
    return AssetCheckResult(passed=True)


@job
def never_started() -> None:
    pass


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def test_old_runs_go_and_the_state_of_assets_and_checks_stays(instance: DagsterInstance) -> None:
    first = materialize([once, checked, often], instance=instance).run_id
    active = instance.create_run_for_job(never_started, status=DagsterRunStatus.STARTED).run_id
    later = [materialize([often], instance=instance).run_id for _ in range(5)]
    now = datetime.now(UTC)

    assert purge(instance, [CHECKED], before=None, keep=100) == 0
    assert purge(instance, [CHECKED], before=now - timedelta(days=14), keep=100) == 0
    assert purge(instance, [CHECKED], before=None, keep=2) == 3
    assert {run.run_id for run in instance.get_runs()} == {first, active, *later[-2:]}

    assert purge(instance, [CHECKED], before=now + timedelta(days=85), keep=100) == 1
    assert {run.run_id for run in instance.get_runs()} == {first, active, later[-1]}
    for key, run_id in ((AssetKey("once"), first), (AssetKey("often"), later[-1])):
        event = instance.get_latest_materialization_event(key)
        assert event is not None
        assert event.run_id == run_id
    executions = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECKED])
    assert executions[CHECKED].run_id == first
    assert instance.all_logs(later[0]) == []


def test_old_results_of_conditions_go_and_others_stay(instance: DagsterInstance) -> None:
    def report(asset: str, check: str, *, passed: bool) -> None:
        key = AssetKey.from_user_string(asset)
        instance.report_runless_asset_event(
            AssetCheckEvaluation(asset_key=key, check_name=check, passed=passed, metadata={})
        )

    for number in range(5):
        report(CONDITIONS_ASSET, "disk_low", passed=number % 2 == 0)
    report(CONDITIONS_ASSET, "run_stuck", passed=True)
    report("often", "checked", passed=True)

    def ask(sql: str) -> list[object]:
        with instance.event_log_storage.index_connection() as connection:
            return [row[0] for row in connection.execute(text(sql))]

    (before,) = ask("select count(*) from event_logs")
    assert purge_results(instance, keep=2) == 3
    assert ask("select count(*) from event_logs") == [before - 3]
    names = ask("select check_name from asset_check_executions order by id")
    assert names == ["disk_low", "disk_low", "run_stuck", "checked"]
    newest = AssetCheckKey(AssetKey.from_user_string(CONDITIONS_ASSET), "disk_low")
    executions = instance.event_log_storage.get_latest_asset_check_execution_by_key([newest])
    assert executions[newest].status == AssetCheckExecutionRecordStatus.SUCCEEDED
    assert purge_results(instance, keep=2) == 0


def test_check_results_go_with_their_runs(instance: DagsterInstance) -> None:
    """Dagster leaves them behind when a run is deleted."""
    runs = [materialize([checked, often], instance=instance).run_id for _ in range(4)]
    assert purge(instance, [CHECKED], before=None, keep=2) == 2
    history = instance.event_log_storage.get_asset_check_execution_history(CHECKED, limit=100)
    assert [execution.run_id for execution in history] == [runs[3], runs[2]]


def test_the_job_compacts_and_shows_a_table(
    lake: Lake, settings: Settings, instance: DagsterInstance
) -> None:
    load(lake)
    before = contents(lake)
    made = upkeep_job([STREAM], [CHECKED])
    result = made.execute_in_process(
        resources={"lake_session": lake_session(lambda: settings)}, instance=instance
    )
    assert result.success
    metadata = result.events_for_node("maintain_lake")
    outputs = [event.step_output_data for event in metadata if event.is_successful_output]
    rows = outputs[0].metadata["tables"].records
    assert {row.data["table"] for row in rows} == {
        "raw._dlt_loads",
        "raw.batches",
        "raw.events",
        "raw.rejects",
    }
    assert contents(lake) == before


def test_the_command_says_what_it_did(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    load(lake)
    assert show(run(settings, (STREAM,), dry_run=True), as_json=False) == 0
    assert "would be expired" in capsys.readouterr().out
    with writer_lock(settings, "events", application_name=process_name()):
        assert show(run(settings, (STREAM,), dry_run=False), as_json=False) == 0
    told = capsys.readouterr().out
    assert "raw.batches" in told
    assert "skipped: table raw.events: stream 'events' is being written" in told
    assert show(run(settings, (STREAM,), dry_run=False), as_json=True) == 0
    assert [done["table"] for done in json.loads(capsys.readouterr().out)["tables"]] == ["raw.events"]
