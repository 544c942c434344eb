"""The hourly audit proves what is there: what no run has built yet is no fault."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from ingestion.lake import Lake
from ingestion.settings import Settings
from ingestion.streams_file import load_streams
from orchestration.build import build_defs
from orchestration.dbt_models import dbt_project
from orchestration.dbt_runner import build_args, invoke
from orchestration.keys import AUDIT_JOB

Outcomes = dict[str, set[str]]


@pytest.fixture
def known(kafka_settings: Settings) -> Settings:
    """Settings of a lake that is prepared and has no models."""
    with Lake(kafka_settings) as lake:
        lake.prepare(stream.name for stream in load_streams(kafka_settings.streams_file))
        lake.publish_access()
    return kafka_settings


@pytest.fixture
def audit(known: Settings, tmp_path: Path) -> Iterator[Callable[[], Outcomes]]:
    """Runs the audit; returns the outcomes of each asset's checks."""
    job = build_defs(settings=lambda: known).resolve_job_def(AUDIT_JOB)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:

        def execute() -> Outcomes:
            result = job.execute_in_process(instance=instance, raise_on_error=False)
            assert result.success
            outcomes: Outcomes = {}
            for check in result.get_asset_check_evaluations():
                outcomes.setdefault(check.asset_key.to_user_string(), set()).add(
                    str(check.metadata["outcome"].value)
                )
            return outcomes

        yield execute


def test_an_audit_before_the_first_build_checks_what_is_there(
    known: Settings, audit: Callable[[], Outcomes]
) -> None:
    raw = {"raw/batches", "raw/rejects", "raw/plant_telemetry", "raw/production_orders"}
    assert audit().keys() == raw
    invoke(dbt_project(known), build_args("run", select=["+order_progress", "ops_batches"]))
    found = audit()
    built = {"staging/stg_production_orders", "marts/order_progress", "ops/ops_batches"}
    assert found.keys() == raw | built
    assert {outcome for name in built for outcome in found[name]} == {"passed"}
