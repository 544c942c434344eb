"""The arrivals sensor: when a stream has unread events and no run is active, it asks for a run of just that.

A tick waits inside, for some seconds at most, so that an event is noticed at once although Dagster's
sensor loop takes five seconds. It measures lag and consumes nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.errors import CatalogUnavailable, MillraceError
from ingestion.settings import Settings
from ingestion.watch.lag import StreamLag
from orchestration.conditions.condition import Finding
from orchestration.conditions.pulse import beat
from orchestration.conditions.reports import report
from orchestration.jobs.refresh import Job
from orchestration.keys import ARRIVALS_SENSOR, STREAMS_TAG
from orchestration.run.plan import RefreshPlan, Repairs
from orchestration.sensors.backoff import Schedule
from orchestration.sensors.lost_runs import end_lost_runs
from orchestration.sensors.outcomes import review
from orchestration.sensors.schema_changes import schema_changes
from orchestration.sensors.standstill import Standstill, floods
from orchestration.sensors.watch import Watch

_TICK_SECONDS = 9.0  # just below two of the daemon's loops of 5 s, so that ticks follow each other closely
_LOOK_SECONDS = 0.4
_BUSY_SECONDS = 1.0  # a run lasts minutes while events come: each look asks Dagster's database for it
_LOST_SECONDS = 2.0
_AWAY_SECONDS = 5.0
_MODELLED_SECONDS = 10.0  # a command that landed a batch may still be building its models


def arrivals_sensor(
    streams: Sequence[Stream],
    plan: RefreshPlan,
    job: Job,
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
        repairs: Finds repairs whose models are to be built. They go before events: while events keep coming,
            they would wait forever.
        tick_seconds: Longest wait of a tick.
        modelled_seconds: How long a batch may be in the lake and not in the models before a run is asked for.
    """
    watch = Watch(settings, streams, modelled_seconds=modelled_seconds)

    published: list[Sequence[Finding]] = []

    def publish(findings: Sequence[Finding]) -> None:
        if published[-1:] != [findings]:
            with suppress(MillraceError):  # what has to write there reports a full disk
                report(settings().data_dir, findings, by="arrivals")
                published[:] = [findings]

    def pulse(doing: str) -> None:
        with suppress(MillraceError):
            beat(settings().data_dir, ARRIVALS_SENSOR, doing=doing)

    ticks = _Ticks(streams, watch, plan, job.name, repairs, publish, tick_seconds)

    @sensor(
        name=ARRIVALS_SENSOR,
        job=job,
        minimum_interval_seconds=1,
        default_status=DefaultSensorStatus.RUNNING,
        description="Asks for a run when a stream has events that are not in the lake and no run is active.",
    )
    def arrivals(context: SensorEvaluationContext) -> SensorResult:
        pulse("a tick")
        try:
            return ticks.tick(watch.instance(context), Schedule.loads(context.cursor))
        finally:
            pulse("")

    return arrivals


@dataclass(frozen=True)
class _Ticks:
    """What every tick of the sensor uses; what one tick leaves to the next is in the schedule."""

    streams: Sequence[Stream]
    watch: Watch
    plan: RefreshPlan
    job_name: str
    repairs: Repairs
    publish: Callable[[Sequence[Finding]], None]
    seconds: float
    standstill: Standstill = field(default_factory=Standstill)
    away: set[str] = field(default_factory=set)
    """The streams whose source did not answer at the last look."""

    def tick(self, instance: DagsterInstance, schedule: Schedule) -> SensorResult:
        """Look until there is a run to ask for or the time is over."""
        # The first tick of all must not repeat old repairs: it starts from now. So does the next one after
        # the clock was set back: nothing would come after a time that is still to come.
        now = utc_now().isoformat()
        schedule = replace(schedule, repaired=min(schedule.repaired or now, now))
        deadline, asked_for_repairs = time.monotonic() + self.seconds, False
        schedule, busy = self._review(instance, schedule)
        looked_at = looked_away_at = float("-inf")
        while True:
            # A run goes on while events keep coming, and would leave what was said before it as it was.
            if busy and self.away and time.monotonic() - looked_away_at > _AWAY_SECONDS:
                looked_away_at = time.monotonic()
                self._look(schedule)
            if busy and time.monotonic() - looked_at > _LOST_SECONDS:
                looked_at = time.monotonic()
                if end_lost_runs(instance, self.job_name):
                    schedule, busy = self._review(instance, schedule)
            request, reason = None, busy
            if not busy:
                if not asked_for_repairs:  # once a tick: they can wait a few seconds
                    asked_for_repairs = True
                    repair = self._repair(instance, schedule)
                    if repair is not None:
                        return SensorResult(run_requests=[repair], cursor=schedule.dumps())
                request, reason = self._consider(instance, schedule)
            if request is not None:
                # A user may have started a run since the review; its outcome changes what is to be asked for.
                considered = schedule
                schedule, busy = self._review(instance, schedule)
                if schedule != considered:
                    continue
                if not busy:
                    return SensorResult(run_requests=[request], cursor=schedule.dumps())
                reason = busy
            pause = _BUSY_SECONDS if busy else _LOOK_SECONDS
            if time.monotonic() + pause >= deadline:
                return SensorResult(skip_reason=SkipReason(reason), cursor=schedule.dumps())
            time.sleep(pause)
            if busy:
                schedule, busy = self._review(instance, schedule)

    def _review(self, instance: DagsterInstance, schedule: Schedule) -> tuple[Schedule, str]:
        """Enter the newest run's outcome, then an edit of the project: the run was of the text before it."""
        schedule, busy = review(instance, self.job_name, schedule)
        return (schedule if busy else self._see_project(schedule)), busy

    def _see_project(self, schedule: Schedule) -> Schedule:
        """Take in an edit of the dbt project: the pauses of models end."""
        plan = self.plan
        not_built = schedule.not_built.for_project(
            plan.text,
            models={key.to_user_string() for key in plan.models},
            broken=[key.to_user_string() for key in plan.left_out],
        )
        return replace(schedule, not_built=not_built)

    def _repair(self, instance: DagsterInstance, schedule: Schedule) -> RunRequest | None:
        """The run of the oldest repair, owed until it succeeds; it waits while its stream or a model does."""
        repair = self.repairs(instance, schedule.repaired)
        now = time.time()
        if repair is None or schedule.is_paused(repair.tags[STREAMS_TAG], now=now):
            return None
        paused = self.plan.with_followers(schedule.not_built.paused(now=now))
        return None if paused.intersection(repair.asset_selection or ()) else repair

    def _look(self, schedule: Schedule) -> tuple[list[StreamLag], str] | tuple[None, str]:
        """How far each stream is, or why that is not known; what does not work is published."""
        try:
            lags, rejects = self.watch.look(), self.watch.rejects()
            schemas = self.watch.schemas()
        except CatalogUnavailable as error:  # the supervisor sees that, too
            return None, str(error)
        except MillraceError as error:
            blind = Finding(
                "sensor_failing", ARRIVALS_SENSOR,
                f"the sensor '{ARRIVALS_SENSOR}' cannot see what has arrived: {error}",
            )  # fmt: skip
            self.publish([*schedule.findings(), blind])
            return None, str(error)
        away = [
            Finding(
                "source_unreachable",
                lag.stream,
                f"Stream '{lag.stream}' cannot be read: "
                + lag.error.removeprefix(f"stream '{lag.stream}': "),
            )
            for lag in lags
            if lag.error
        ]
        stalled = self.standstill.look(lags, paused=schedule.pauses, now_s=time.monotonic())
        flooded = floods(self.streams, rejects)
        changed = schema_changes(schemas, now=utc_now())
        stopped = [
            Finding("partition_stopped", lag.stream, "; ".join(lag.notes)) for lag in lags if lag.notes
        ]
        self.publish([*schedule.findings(), *away, *stopped, *stalled, *flooded, *changed])
        self.away.clear()
        self.away.update(each.subject for each in away)
        return lags, ""

    def _consider(
        self, instance: DagsterInstance, schedule: Schedule
    ) -> tuple[RunRequest, str] | tuple[None, str]:
        """A run for the streams that have work, or why there is none."""
        lags, why = self._look(schedule)
        if lags is None:
            return None, why
        # A run may have died after its commit: then there is no lag, but models and checks are still due.
        now = time.time()
        paused = self.plan.with_followers(schedule.not_built.paused(now=now))
        modelled = [lag for lag in lags if self.plan.tables.get(lag.stream, frozenset()) - paused]
        not_modelled = self.watch.not_modelled(instance, modelled)
        due = self.plan.with_followers(schedule.not_built.due(now=now)) - paused
        owed = self.plan.streams_of(due).union(schedule.unfinished)
        # What is new or edited of the models is built without an event; what failed is tried first.
        if schedule.models not in ("", self.plan.fingerprint) and not (schedule.pauses or not_modelled):
            owed |= {lag.stream for lag in lags}
        waiting = _waiting(lags, not_modelled, schedule, owed=owed)
        chosen = schedule.choose(waiting, now=now)
        if chosen:
            request = self.plan.request(
                chosen,
                built=schedule.models,
                goes_on=_goes_on(chosen, lags, schedule),
                until=_until(schedule, [lag.stream for lag in lags if not lag.error], now=now),
                not_modelled=not_modelled,
                due=due,
                paused=paused,
            )
            return request, ""
        problems = [lag.error for lag in lags if lag.error]
        resting = [f"stream '{name}' failed and waits for its next try" for name in waiting]
        return None, "; ".join(problems + resting) or "every event is in the lake"


def _waiting(
    lags: Sequence[StreamLag], not_modelled: Mapping[str, bool], schedule: Schedule, *, owed: Set[str]
) -> list[str]:
    """The streams that need a run: unread events, a batch left without models, or something to try again."""
    again = owed | schedule.pauses.keys()
    return [
        lag.stream
        for lag in lags
        if lag.has_work or not_modelled.get(lag.stream) or (lag.stream in again and not lag.error)
    ]


def _until(schedule: Schedule, streams: Sequence[str], *, now: float) -> float | None:
    """When a run has to end, because a stream or a model that failed is due then."""
    dues = (schedule.next_due(streams, now=now), schedule.not_built.next_due(now=now))
    return min((due for due in dues if due is not None), default=None)


def _goes_on(chosen: Sequence[str], lags: Sequence[StreamLag], schedule: Schedule) -> list[str]:
    """The streams that the run may ingest later, those of an unreachable broker too: it may come back.

    A failing stream is tried alone, and the outcome is judged at once.
    """
    if chosen[0] in schedule.pauses:
        return []
    return [lag.stream for lag in lags if lag.stream not in schedule.pauses]
