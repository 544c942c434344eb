"""The job `maintain`: upkeep of the lake and removal of old runs, four times an hour.

What upkeep of the lake is, is in ingestion/upkeep/maintenance.py.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from dagster import (
    AssetCheckKey,
    DagsterInstance,
    DefaultScheduleStatus,
    Failure,
    JobDefinition,
    MetadataValue,
    OpExecutionContext,
    ScheduleDefinition,
    TableRecord,
    in_process_executor,
    job,
    op,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from ingestion.declare.stream import Stream
from ingestion.land.session import LakeSession
from ingestion.upkeep.maintenance import Report
from orchestration.jobs.refresh import Job
from orchestration.keys import UPKEEP_JOB
from orchestration.records.condition_results import purge_results
from orchestration.records.cost_hours import keep_costs
from orchestration.records.lake_upkeep import ages_of, keep_up
from orchestration.run.metric_history import KEPT_FOR, forget_minutes, take_minutes

_KEEP_RUNS = 2_000
_KEEP_RUNS_FOR = timedelta(days=14)
_MOST_RUNS_AT_ONCE = 2_000
_PAGE = 500


def upkeep_job(streams: Sequence[Stream], checks: Sequence[AssetCheckKey]) -> JobDefinition:
    """Build the job.

    Args:
        streams: The declared streams.
        checks: Every asset check; the run that a check's state is from is kept.
    """

    @op(required_resource_keys={"lake_session"}, description="Compaction, expiry, deletion of unused files.")
    def maintain_lake(context: OpExecutionContext) -> None:
        session: LakeSession = context.resources.lake_session
        take_minutes(session.lake)  # while no events come, no run does it
        forget_minutes(session.lake, before=ages_of(session.settings, keep=False).before(KEPT_FOR))
        report = keep_up(session.lake, streams)
        context.add_output_metadata(_metadata(report))
        for sentence in report.skipped:
            context.log.info(f"skipped: {sentence}")
        if report.failed:
            raise Failure("; ".join(report.failed), allow_retries=False)

    @op(
        required_resource_keys={"lake_session"},
        description="Sums what runs have cost, and deletes old ones, except those that recorded the newest "
        "state of an asset or check.",
    )
    def purge_runs(context: OpExecutionContext) -> None:
        session: LakeSession = context.resources.lake_session
        summed = keep_costs(context.instance)  # first: a run takes along what it recorded
        before = ages_of(session.settings, keep=False).before(_KEEP_RUNS_FOR)
        context.add_output_metadata(
            {
                "costs_summed": summed,
                "runs_deleted": purge(context.instance, checks, before=before),
                "condition_results_deleted": purge_results(context.instance),
            }
        )

    @job(
        name=UPKEEP_JOB,
        executor_def=in_process_executor,
        description="Upkeep of the lake and of Dagster's own records.",
    )
    def upkeep() -> None:
        maintain_lake()
        purge_runs()

    return upkeep


def upkeep_schedule(job: Job) -> ScheduleDefinition:
    """Every quarter of an hour: in that time, cycles of seconds leave hundreds of small files."""
    return ScheduleDefinition(
        name="regular_upkeep",
        job=job,
        cron_schedule="12,27,42,57 * * * *",
        default_status=DefaultScheduleStatus.RUNNING,
    )


def purge(
    instance: DagsterInstance,
    checks: Sequence[AssetCheckKey],
    *,
    before: datetime | None,
    keep: int = _KEEP_RUNS,
) -> int:
    """Delete finished runs with their events and check results.

    Deleting a run deletes the materializations and evaluations that it recorded, so the run that
    holds the newest one of an asset or a check stays, however old it is.

    Args:
        instance: Dagster's instance.
        checks: Every asset check.
        before: Runs from before this moment are old, however many there are (UTC); None: none is.
        keep: How many of the newest runs stay, if they are not old.

    Returns:
        How many were deleted.
    """
    needed = _runs_of_state(instance, checks)
    deletable: list[str] = []
    seen, cursor = 0, None
    while records := instance.get_run_records(limit=_PAGE, cursor=cursor):
        cursor = records[-1].dagster_run.run_id
        for record in records:
            seen += 1
            run = record.dagster_run
            old = seen > keep or (before is not None and record.create_timestamp < before)
            if old and run.status in FINISHED_STATUSES and run.run_id not in needed:
                deletable.append(run.run_id)
    oldest_first = deletable[::-1][:_MOST_RUNS_AT_ONCE]
    for run_id in oldest_first:
        instance.delete_run(run_id)
    _forget_checks(instance, oldest_first)
    return len(oldest_first)


def _forget_checks(instance: DagsterInstance, runs: Sequence[str]) -> None:
    """Delete the check results of deleted runs: Dagster leaves them forever."""
    storage = instance.event_log_storage
    if runs and isinstance(storage, SqlEventLogStorage):
        with storage.index_connection() as connection:
            executions = AssetCheckExecutionsTable
            connection.execute(executions.delete().where(executions.c.run_id.in_(runs)))


def _runs_of_state(instance: DagsterInstance, checks: Sequence[AssetCheckKey]) -> set[str]:
    newest = (instance.fetch_materializations(key, limit=1).records for key in instance.all_asset_keys())
    runs = {records[0].run_id for records in newest if records}
    executions = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    return runs | {execution.run_id for execution in executions.values()}


def _metadata(report: Report) -> dict[str, object]:
    rows = [
        TableRecord(
            {
                "table": done.table,
                "files_before": done.files_before,
                "files_after": done.files_after,
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
                "rows_verified": done.rows_verified,
                "seconds": done.seconds,
            }
        )
        for done in report.tables
    ]
    numbers = {
        "snapshots_expired": report.snapshots_expired,
        "files_deleted": report.files_deleted,
        "orphans_deleted": report.orphans_deleted,
        "segments_trimmed": report.segments_trimmed,
        "folders_removed": report.folders_removed,
        "logs_removed": report.logs_removed,
        "seconds": report.seconds,
        "skipped": "; ".join(report.skipped),
    }
    return ({"tables": MetadataValue.table(rows)} if rows else {}) | numbers
