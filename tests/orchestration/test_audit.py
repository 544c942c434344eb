"""The hourly audit proves what is there: what no run has built yet is no fault, a loss fails the run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import AssetCheckKey, DagsterInstance, ExecuteInProcessResult
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.build import build_defs
from orchestration.dbt.project import dbt_project
from orchestration.dbt.runner import build_args, invoke
from orchestration.keys import AUDIT_JOB, LEDGER_AUDIT, raw_key

Outcomes = dict[str, set[str]]


@pytest.fixture
def known(kafka_settings: Settings) -> Settings:
    """Settings of a lake that is prepared and has no models."""
    with Lake(kafka_settings) as lake:
        lake.prepare(stream.name for stream in load_streams(kafka_settings.streams_file))
        lake.publish_access()
    return kafka_settings


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


@pytest.fixture
def audit(known: Settings, instance: DagsterInstance) -> Callable[[], ExecuteInProcessResult]:
    """Runs the audit."""
    job = build_defs(settings=lambda: known).resolve_job_def(AUDIT_JOB)
    return lambda: job.execute_in_process(instance=instance, raise_on_error=False)


def outcomes(result: ExecuteInProcessResult) -> Outcomes:
    """Of each asset's checks."""
    found: Outcomes = {}
    for check in result.get_asset_check_evaluations():
        found.setdefault(check.asset_key.to_user_string(), set()).add(str(check.metadata["outcome"].value))
    return found


def test_an_audit_before_the_first_build_checks_what_is_there(
    known: Settings, audit: Callable[[], ExecuteInProcessResult]
) -> None:
    streams = ("plant_telemetry", "production_orders", "quality_inspections")
    raw = {"raw/batches", "raw/rejects", *(f"raw/{stream}" for stream in streams)}
    first = audit()
    assert first.success
    assert outcomes(first).keys() == raw
    invoke(dbt_project(known), build_args("run", select=["+order_progress", "ops_batches"]))
    second = audit()
    assert second.success
    assert {check.metadata["runs"].value for check in second.get_asset_check_evaluations()} == {"hourly"}
    found = outcomes(second)
    built = {"staging/stg_production_orders", "marts/order_progress", "ops/ops_batches"}
    assert found.keys() == raw | built
    assert {outcome for name in built for outcome in found[name]} == {"passed"}


def test_a_loss_fails_the_run_after_every_check_is_stored(
    known: Settings, audit: Callable[[], ExecuteInProcessResult], instance: DagsterInstance
) -> None:
    with Lake(known) as lake:
        lake.query(
            "insert into raw.batches by name select 'production_orders' as stream, 1 as batch_id, "
            "'production_orders-0' as source_partition, 0 as start_position, 5 as end_position, "
            "5 as events_read, 5 as events_landed, 0 as events_rejected"
        )
    result = audit()
    assert not result.success
    stored = instance.event_log_storage.get_asset_check_execution_history(
        AssetCheckKey(raw_key("production_orders"), LEDGER_AUDIT), limit=1
    )
    assert [record.status for record in stored] == [AssetCheckExecutionRecordStatus.FAILED]
    found = outcomes(result)
    assert "failed" in found["raw/production_orders"]
    assert "raw/batches" in found  # another op's, which ran all the same
    failures = {event.step_key: event.step_failure_data for event in result.get_step_failure_events()}
    told = failures[LEDGER_AUDIT].user_failure_data
    assert told is not None
    assert f"{LEDGER_AUDIT} of raw/production_orders (" in str(told.description)


def test_a_warning_is_no_failure(known: Settings, instance: DagsterInstance) -> None:
    away = known.replaced(kafka_bootstrap_servers="127.0.0.1:9")
    job = build_defs(settings=lambda: away).resolve_job_def(AUDIT_JOB)
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success
    assert "warned" in outcomes(result)["raw/production_orders"]
