"""The arrivals sensor: when a stream has unread events and nothing runs, ask for one run of just that.

A tick waits inside, for some seconds at most, so that an event is noticed at once although Dagster's
sensor loop is five seconds long. It measures lag and consumes nothing.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    EventLogEntry,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.instance.ref import InstanceRef

from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import WATCHER_SECONDS, Lake
from ingestion.land.batch import utc_now
from ingestion.settings import Settings
from ingestion.watch.lag import LagMeter, StreamLag
from orchestration.keys import (
    ARRIVALS_SENSOR,
    GOES_ON_TAG,
    MODELS_TAG,
    REPAIR_TAG,
    STREAM_METADATA,
    STREAMS_TAG,
    stream_of_step,
)
from orchestration.run.plan import RefreshPlan, Repairs
from orchestration.run.progress import ModelledBatches
from orchestration.sensors.backoff import Schedule

_TICK_SECONDS = 9.0  # just below two of the daemon's loops of 5 s, so that ticks follow each other closely
_LOOK_SECONDS = 0.4
_BROKER_SECONDS = 2.0
_MODELLED_SECONDS = 10.0  # whoever landed a batch by hand may be building it
_NEWEST = 5  # an active run is among these: no other is started beside it, save by hand
_ACTIVE = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


class _Watch:
    """The kept connections of the process that evaluates the sensor; ticks may come on any thread."""

    def __init__(
        self, settings: Callable[[], Settings], streams: Sequence[Stream], *, modelled_seconds: float
    ) -> None:
        self._load_settings = settings
        self._streams = streams
        self._modelled_seconds = modelled_seconds
        self._modelled: Mapping[str, int] = {}
        self._missing: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()
        self._meter: LagMeter | None = None
        self._lake: Lake | None = None
        self._instance: tuple[InstanceRef, DagsterInstance] | None = None

    def instance(self, context: SensorEvaluationContext) -> DagsterInstance:
        """Dagster's, kept: a context opens its own anew for every tick."""
        reference = context.instance_ref
        if reference is None:
            return context.instance
        with self._lock:
            if self._instance is None or self._instance[0] != reference:
                self._instance = reference, DagsterInstance.from_ref(reference)
            return self._instance[1]

    def look(self) -> list[StreamLag]:
        with self._lock:
            try:
                if self._meter is None:
                    settings = self._load_settings()
                    self._lake = Lake(settings, read_only=True, renew_seconds=WATCHER_SECONDS)
                    self._meter = LagMeter(
                        settings, self._lake, timeout_seconds=_BROKER_SECONDS, clock=utc_now
                    )
                return self._meter.measure(self._streams)
            except Exception:
                self._reset()
                raise

    def not_modelled(self, instance: DagsterInstance, lags: Iterable[StreamLag]) -> dict[str, bool]:
        """The streams whose newest batch is not in the models → whether that has been so for a while.

        Then whoever landed it died, failed for another stream's sake, or never meant to build.
        """
        newest = {lag.stream: lag.batch_id for lag in lags if lag.batch_id}
        with self._lock:
            if any(self._modelled.get(name) != batch for name, batch in newest.items()):
                self._modelled = ModelledBatches(instance).of(newest)
            now = time.monotonic()
            self._missing = {
                (name, batch): self._missing.get((name, batch), now)
                for name, batch in newest.items()
                if self._modelled.get(name) != batch
            }
            return {name: now - seen >= self._modelled_seconds for (name, _), seen in self._missing.items()}

    def _reset(self) -> None:
        if self._meter is not None:
            self._meter.close()
        if self._lake is not None:
            self._lake.close()
        self._meter = self._lake = None


def arrivals_sensor(
    streams: Sequence[Stream],
    plan: RefreshPlan,
    job: UnresolvedAssetJobDefinition,
    *,
    settings: Callable[[], Settings],
    repairs: Repairs,
    tick_seconds: float = _TICK_SECONDS,
    modelled_seconds: float = _MODELLED_SECONDS,
) -> SensorDefinition:
    """Build the sensor.

    Args:
        streams: The declared streams.
        plan: What to build for each.
        job: The job that runs are asked of.
        settings: Reads the settings when the first tick comes.
        repairs: Finds repairs whose models are to be built; they go before events, or would wait forever.
        tick_seconds: Longest wait of a tick.
        modelled_seconds: So long a batch may be in the lake and not in the models before a run is asked for.
    """
    watch = _Watch(settings, streams, modelled_seconds=modelled_seconds)

    @sensor(
        name=ARRIVALS_SENSOR,
        job=job,
        minimum_interval_seconds=1,
        default_status=DefaultSensorStatus.RUNNING,
        description="Asks for a run when a stream has events that are not in the lake and no run is active.",
    )
    def arrivals(context: SensorEvaluationContext) -> SensorResult:
        instance, schedule = watch.instance(context), Schedule.loads(context.cursor)
        schedule = replace(schedule, repaired=schedule.repaired or utc_now().isoformat())
        deadline, repairs_known = time.monotonic() + tick_seconds, False
        schedule, busy = _review(instance, job.name, schedule)
        while True:
            if not busy and not repairs_known:  # once a tick: they can wait a few seconds
                repairs_known = True
                repair = repairs(instance, schedule.repaired)
                # Owed until a run of it went well; one that failed waits as its stream does.
                if repair and not schedule.is_paused(repair.tags[STREAMS_TAG], now=time.time()):
                    return SensorResult(run_requests=[repair], cursor=schedule.dumps())
            request, reason = (None, busy) if busy else _consider(watch, plan, schedule, instance)
            if request is not None:
                considered = schedule
                schedule, busy = _review(instance, job.name, schedule)  # one may have begun since, by hand
                if schedule != considered:
                    continue
                if not busy:
                    return SensorResult(run_requests=[request], cursor=schedule.dumps())
                reason = busy
            if time.monotonic() + _LOOK_SECONDS >= deadline:
                return SensorResult(skip_reason=SkipReason(reason), cursor=schedule.dumps())
            time.sleep(_LOOK_SECONDS)
            if busy:
                schedule, busy = _review(instance, job.name, schedule)

    return arrivals


def _consider(
    watch: _Watch, plan: RefreshPlan, schedule: Schedule, instance: DagsterInstance
) -> tuple[RunRequest | None, str]:
    """A run request, or why there is none."""
    try:
        lags = watch.look()
    except MillraceError as error:
        return None, str(error)
    # A run may have died behind its commit: then there is no lag, but models and checks are still due.
    missing = watch.not_modelled(instance, (lag for lag in lags if plan.tables.get(lag.stream)))
    waiting = [
        lag.stream
        for lag in lags
        if lag.has_work or missing.get(lag.stream) or (lag.stream in schedule.pauses and not lag.error)
    ]
    now = time.time()
    chosen = schedule.choose(waiting, now=now)
    if chosen:
        request = plan.request(
            chosen,
            built=schedule.models,
            # A broker that is away now may be back, or a topic made, while the run goes on. A failing stream
            # is tried alone, and what comes of it is judged at once.
            goes_on=[]
            if chosen[0] in schedule.pauses
            else [lag.stream for lag in lags if lag.stream not in schedule.pauses],
            until=schedule.next_due((lag.stream for lag in lags if not lag.error), now=now),
            not_modelled=missing,
        )
        return request, ""
    problems = [lag.error for lag in lags if lag.error]
    paused = [f"stream '{name}' failed and waits for its next try" for name in waiting]
    return None, "; ".join(problems + paused) or "every event is in the lake"


def _review(instance: DagsterInstance, job_name: str, schedule: Schedule) -> tuple[Schedule, str]:
    """Take in the newest run: its outcome when it is over, else a word that it is active."""
    runs = instance.get_runs(RunsFilter(job_name=job_name), limit=_NEWEST)
    active = [run for run in runs if run.status in _ACTIVE]
    if active:
        return schedule, f"run {active[0].run_id} is active"
    if not runs or runs[0].run_id == schedule.judged_run:
        return schedule, ""
    run = runs[0]
    streams = _tagged(run, STREAMS_TAG)
    good = run.status == DagsterRunStatus.SUCCESS
    touched = sorted({*streams, *_tagged(run, GOES_ON_TAG)})
    failed = [] if good else _failed_streams(instance, run.run_id, touched)
    models = run.tags.get(MODELS_TAG, "") if good else ""
    if good and REPAIR_TAG in run.tags:
        schedule = replace(schedule, repaired=run.tags[REPAIR_TAG])
    return schedule.judge(run.run_id, streams=streams, failed=failed, now=time.time(), models=models), ""


def _tagged(run: DagsterRun, tag: str) -> list[str]:
    return [name for name in run.tags.get(tag, "").split(",") if name]


def _failed_streams(instance: DagsterInstance, run_id: str, streams: list[str]) -> list[str]:
    """The streams whose ingestion failed; all of the run's, when something behind them did."""
    failures = instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
    named = [name for entry in failures for name in _named(entry)]
    return streams if not named or "" in named else sorted(set(named))


def _named(entry: EventLogEntry) -> list[str]:
    """The streams that a step's failure speaks of; an empty name when it does not say."""
    event = entry.dagster_event
    if event is None or entry.step_key is None:
        return [""]
    cause = event.step_failure_data.user_failure_data
    told = cause.metadata.get(STREAM_METADATA) if cause else None
    if told is not None:
        return str(told.value).split(",")
    return [stream_of_step(entry.step_key) or ""]
