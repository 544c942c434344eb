"""The jobs and their schedule: `refresh` builds what new events touch, `audit` proves everything."""

from collections.abc import Sequence

from dagster import (
    AssetCheckKey,
    AssetSelection,
    DefaultScheduleStatus,
    JobDefinition,
    ScheduleDefinition,
    define_asset_job,
    in_process_executor,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.keys import AUDIT_JOB, REFRESH_JOB

Job = JobDefinition | UnresolvedAssetJobDefinition
"""What a sensor or a schedule can launch."""


def refresh_job(audits: Sequence[AssetCheckKey]) -> UnresolvedAssetJobDefinition:
    """Ingest, build and check. Sensors ask for parts of it; an operator may launch it whole.

    Args:
        audits: The checks that read whole tables; they stay out.
    """
    return define_asset_job(
        REFRESH_JOB,
        selection=AssetSelection.all() - AssetSelection.checks(*audits),
        executor_def=in_process_executor,
        description="Ingest, build and check; the arrivals sensor runs the part that new events touch.",
    )


def audit_job(audits: Sequence[AssetCheckKey]) -> UnresolvedAssetJobDefinition:
    """Everything that reads whole tables, apart from the hot path."""
    return define_asset_job(
        AUDIT_JOB,
        selection=AssetSelection.checks(*audits),
        executor_def=in_process_executor,
        description="Prove the whole ledger and run the tests that read whole tables.",
    )


def audit_schedule(job: Job) -> ScheduleDefinition:
    """Once an hour."""
    return ScheduleDefinition(
        name="hourly_audit", job=job, cron_schedule="7 * * * *", default_status=DefaultScheduleStatus.RUNNING
    )
