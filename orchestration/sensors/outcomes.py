"""The outcome of the newest run, read from Dagster's storage and entered in the schedule (backoff.py)."""

import time
from dataclasses import replace

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
    RunsFilter,
)

from orchestration.keys import (
    GOES_ON_TAG,
    MODELS_TAG,
    REPAIR_TAG,
    STREAM_METADATA,
    STREAMS_TAG,
    stream_of_step,
)
from orchestration.sensors.backoff import Schedule

_NEWEST = 5  # an active run is among these: the sensor starts none beside it, only a user may
_ACTIVE = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def review(instance: DagsterInstance, job_name: str, schedule: Schedule) -> tuple[Schedule, str]:
    """Enter the newest run's outcome in the schedule.

    Args:
        instance: Dagster's instance.
        job_name: The job whose runs count.
        schedule: What is known so far.

    Returns:
        The schedule, and which run is active; an empty text when none is.
    """
    runs = instance.get_runs(RunsFilter(job_name=job_name), limit=_NEWEST)
    active = [run for run in runs if run.status in _ACTIVE]
    if active:
        return schedule, f"run {active[0].run_id} is active"
    if not runs or runs[0].run_id == schedule.judged_run:
        return schedule, ""
    return _judged(instance, runs[0], schedule), ""


def _judged(instance: DagsterInstance, run: DagsterRun, schedule: Schedule) -> Schedule:
    streams = _tagged(run, STREAMS_TAG)
    if run.status == DagsterRunStatus.SUCCESS:
        schedule = replace(schedule, repaired=run.tags.get(REPAIR_TAG, schedule.repaired))
        models = run.tags.get(MODELS_TAG, "")
        return schedule.judge(run.run_id, streams=streams, failed=[], now=time.time(), models=models)
    # A run that goes on may have failed over any stream that it was allowed to ingest.
    touched = sorted({*streams, *_tagged(run, GOES_ON_TAG)})
    failed = _failed_streams(instance, run.run_id, touched)
    return schedule.judge(run.run_id, streams=streams, failed=failed, now=time.time())


def _tagged(run: DagsterRun, tag: str) -> list[str]:
    return [name for name in run.tags.get(tag, "").split(",") if name]


def _failed_streams(instance: DagsterInstance, run_id: str, streams: list[str]) -> list[str]:
    """The streams whose ingestion failed; all of the run's when a later step did."""
    failures = instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
    named = [name for entry in failures for name in _named(entry)]
    return streams if not named or "" in named else sorted(set(named))


def _named(entry: EventLogEntry) -> list[str]:
    """The streams that a step's failure names; an empty name when it names none."""
    event = entry.dagster_event
    if event is None or entry.step_key is None:
        return [""]
    cause = event.step_failure_data.user_failure_data
    streams = cause.metadata.get(STREAM_METADATA) if cause else None
    if streams is not None:
        return str(streams.value).split(",")
    return [stream_of_step(entry.step_key) or ""]
