"""Runs that Dagster believes to be under way and that have no process: their end is recorded at once.

When PostgreSQL goes away, whoever has just made a run cannot launch it, and whoever sees a run's process end
cannot record that. Dagster's own monitoring notices after minutes; until then no other run is asked for.
"""

from datetime import timedelta

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.launcher.base import WorkerStatus

from ingestion.clock import utc_now

_GRACE = timedelta(seconds=4)  # a run is launched within milliseconds after it was made
_BEFORE_ITS_END = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
_GONE = (WorkerStatus.NOT_FOUND, WorkerStatus.FAILED)


def end_lost_runs(instance: DagsterInstance, job_name: str) -> list[str]:
    """Record the end of runs without a process.

    Args:
        instance: Dagster's instance.
        job_name: The job whose runs count.

    Returns:
        Their ids.
    """
    launcher = instance.run_launcher
    if not launcher.supports_check_run_worker_health:
        return []
    wanted = RunsFilter(job_name=job_name, statuses=_BEFORE_ITS_END)
    ended = []
    for record in instance.get_run_records(wanted, limit=5):
        if utc_now() - record.create_timestamp.astimezone(utc_now().tzinfo) < _GRACE:
            continue
        try:
            health = launcher.check_run_worker_health(record.dagster_run)
        except RuntimeError:  # it is busy, which says nothing about the run
            continue
        run = instance.get_run_by_id(record.dagster_run.run_id)
        if health.status in _GONE and run is not None and run.status in _BEFORE_ITS_END:
            why = health.msg or "The run has no process: it was made when it could not be launched."
            instance.report_run_failed(run, why)
            ended.append(run.run_id)
    return ended
