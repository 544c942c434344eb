"""The outcome of the newest run, read from Dagster's storage and entered in the schedule (backoff.py).

A failure is of streams, of models, or of neither: the run was interrupted or its process died.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
    MetadataValue,
    RunsFilter,
)
from dagster._core.events import JobFailureData
from dagster_shared.error import SerializableErrorInfo

from ingestion.errors import CatalogUnavailable
from orchestration.assets.models import MODELS_OP
from orchestration.dbt.blame import in_one_line
from orchestration.keys import (
    EVERY_MODEL,
    GOES_ON_TAG,
    HANGING_TAG,
    MODELS_METADATA,
    MODELS_TAG,
    RAW_GROUP,
    REPAIR_TAG,
    STREAM_METADATA,
    STREAMS_TAG,
    stream_of_step,
)
from orchestration.sensors.backoff import Schedule

_NEWEST = 5  # an active run is among these: the sensor starts none beside it, only a user may
_INTERRUPTED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
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
    streams, tried, now = _tagged(run, STREAMS_TAG), _models(run), time.time()
    if run.status == DagsterRunStatus.SUCCESS:
        schedule = replace(schedule, repaired=run.tags.get(REPAIR_TAG, schedule.repaired))
        schedule = schedule.judge_models(tried=tried, failed={}, now=now)
        models = run.tags.get(MODELS_TAG, "")
        return schedule.judge(run.run_id, streams=streams, failed={}, now=now, models=models)
    # A run that goes on may have failed over any stream that it was allowed to ingest.
    touched = sorted({*streams, *_tagged(run, GOES_ON_TAG)})
    failures = instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
    faults = [fault for entry in failures if (fault := _fault(entry, touched)) is not None]
    if hanging := _tagged(run, HANGING_TAG):
        why = "its batch hung, so its run was ended"
        return schedule.judge(run.run_id, streams=streams, failed=dict.fromkeys(hanging, why), now=now)
    if not faults:
        killed = run.status == DagsterRunStatus.FAILURE and not _was_interrupted(instance, run)
        return schedule.judge_death(run.run_id, streams=touched, tried=tried, killed=killed, now=now)
    failed_models = {name: why for fault in faults for name, why in fault.models.items()}
    if failed_models:
        schedule = schedule.judge_models(tried=tried, failed=failed_models, now=now)
    failed = {name: why for fault in faults for name, why in fault.streams.items()}
    # Of the others the run says nothing: a stream that was paused before stays so.
    return schedule.judge(run.run_id, streams=streams, failed=failed, now=now)


def _was_interrupted(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether the run was asked to stop, as all are when the system stops."""
    ends = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)
    # Of a run that was marked as failed from outside there are no data.
    data = [entry.dagster_event.event_specific_data for entry in ends if entry.dagster_event]
    errors = [each.error for each in data if isinstance(each, JobFailureData)]
    return any(error is not None and error.cls_name in _INTERRUPTED for error in errors)


def _tagged(run: DagsterRun, tag: str) -> list[str]:
    return [name for name in run.tags.get(tag, "").split(",") if name]


def _models(run: DagsterRun) -> frozenset[str] | None:
    """The models that a run was to build; None for all."""
    if run.asset_selection is None:
        return None
    return frozenset(key.to_user_string() for key in run.asset_selection if key.path[0] != RAW_GROUP)


@dataclass(frozen=True)
class _Fault:
    """What a step's failure names, each with the reason."""

    streams: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


def _fault(entry: EventLogEntry, touched: Sequence[str]) -> _Fault | None:
    """What failed in a step; None if it was interrupted."""
    event = entry.dagster_event
    if event is None or entry.step_key is None:
        return _Fault(streams=dict.fromkeys(touched, ""))
    data = event.step_failure_data
    given = data.user_failure_data
    named = given.metadata if given else {}
    if STREAM_METADATA in named or MODELS_METADATA in named:
        return _Fault(_reasons(named.get(STREAM_METADATA)), _reasons(named.get(MODELS_METADATA)))
    if data.error is not None and data.error.cls_name in _INTERRUPTED:
        return None
    if _cause(data.error) == CatalogUnavailable.__name__:
        return _Fault()  # no stream and no model is to blame: they go on when it answers again
    why = in_one_line((given.description if given else "") or _innermost(data.error))
    if entry.step_key == MODELS_OP:
        return _Fault(models={EVERY_MODEL: why})
    stream = stream_of_step(entry.step_key)
    return _Fault(streams=dict.fromkeys(touched if stream is None else [stream], why))


def _cause(error: SerializableErrorInfo | None) -> str:
    """The name of the first cause: Dagster wraps it."""
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.cls_name) if error is not None else ""


def _innermost(error: SerializableErrorInfo | None) -> str:
    """What the first cause says: Dagster wraps it."""
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message.strip() if error is not None else ""
    name, colon, message = text.partition(": ")
    return message if colon and " " not in name else text


def _reasons(metadata: MetadataValue[Any] | None) -> Mapping[str, str]:
    """Name → why; a run of an earlier release has the names alone, with commas between."""
    if metadata is None:
        return {}
    if isinstance(metadata.value, Mapping):
        return {str(name): in_one_line(str(why)) for name, why in metadata.value.items()}
    return dict.fromkeys(str(metadata.value).split(","), "")
