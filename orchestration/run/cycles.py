"""A run goes on: while events keep coming, it ingests, builds and checks again, without a new process.

A cycle does what a run's own steps do, over connections that are open and code that is loaded. Each cycle
is recorded with its own materialisations and check results. Which runs may go on: sensors/arrivals.py.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    Failure,
    JsonMetadataValue,
    MaterializeResult,
    MetadataValue,
)

from ingestion.clock import utc_now
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import CatalogUnavailable, MillraceError, StreamBusy
from ingestion.land.session import LakeSession
from ingestion.log.port import Log
from ingestion.settings import Settings
from ingestion.watch.lag import LagMeter
from orchestration.fingerprint import of_project
from orchestration.keys import (
    CODE_TAG,
    EVERY_MODEL,
    GOES_ON_TAG,
    LEFT_OUT_TAG,
    MODELS_METADATA,
    STREAM_METADATA,
    UNTIL_TAG,
    raw_key,
)
from orchestration.run import stage
from orchestration.run.breaks import breaks
from orchestration.run.land import RAW_VERSION, ingest_batch
from orchestration.run.metric_history import take_minutes
from orchestration.run.pace import Pace
from orchestration.run.reaction_changes import ReactionChanges
from orchestration.run.recorded import Event, materialization, recorded
from orchestration.run.repeated import RepeatedPasses
from orchestration.run.room import Edits, Repairs

Build = Callable[[AbstractSet[AssetKey]], Iterator[MaterializeResult[None] | AssetCheckResult]]
"""Builds some models and checks them."""

_LOOK_SECONDS = 0.25
_BROKER_SECONDS = 2.0


@dataclass(frozen=True)
class Cycles:
    """What further cycles of a run do.

    Attributes:
        streams: The declared streams.
        models: Stream → the models that follow from it.
        groups: The streams, apart where no table follows from both. Each group is ingested, built and checked
            by itself, so that no stream waits for another group's models.
        budget_seconds: The shortest freshness that one of the models declares; when cycles begin: pace.py.
        linger_seconds: How long a run waits for further events.
        longest_seconds: After this time the run ends and a new one begins, so that pages of runs stay short.
            Events that come meanwhile wait for about ten seconds: one in sixty, where it were one in twenty
            with three minutes.
    """

    streams: Sequence[Stream]
    models: Mapping[str, frozenset[AssetKey]]
    groups: Sequence[frozenset[str]]
    budget_seconds: float
    linger_seconds: float = 8.0
    longest_seconds: float = 600.0

    def run(self, context: AssetExecutionContext, build: Build) -> Iterator[Event]:
        """Go on until nothing comes for a while, something else needs a run (room.py) or it is long enough.

        Raises:
            Failure: A stream's batch, its checks or models failed; its metadata names the streams and models.
        """
        passes = RepeatedPasses()
        try:
            yield from passes.thinned(self._go_on(context, build))
        except Failure:
            yield from passes.rest()
            raise
        yield from passes.rest()

    def _go_on(self, context: AssetExecutionContext, build: Build) -> Iterator[Event]:
        allowed = context.run.tags.get(GOES_ON_TAG, "").split(",")
        streams = [stream for stream in self.streams if stream.name in allowed]
        if not streams:
            return
        session: LakeSession = context.resources.lake_session
        session.lake.prepare(stream.name for stream in streams)
        until = float(context.run.tags.get(UNTIL_TAG, "inf"))
        # What the sensor knew when it asked: after an edit the next run may have other streams and models.
        code = context.run.tags.get(CODE_TAG) or of_project(session.settings)
        end = time.monotonic() + min(self.longest_seconds, until - time.time())
        meter = LagMeter(session.settings, session.lake, timeout_seconds=_BROKER_SECONDS, clock=utc_now)
        with closing(meter), _Logs(session.settings) as logs:
            stage.begin(session.settings, context.run_id, "waiting for events")
            edits, repairs = Edits(session.settings, code), Repairs(context.instance, context.run_id)
            pace, reactions = Pace(self.budget_seconds), ReactionChanges(session.lake)
            reactions.take()
            take_minutes(session.lake)

            def may_go_on() -> bool:
                return edits.unchanged() and repairs.none()

            while waiting := self._wait(meter, streams, pace, end=end, may_go_on=may_go_on):
                began, faults = time.monotonic(), _Faults()
                for group in self.groups:
                    together = [stream for stream in waiting if stream.name in group]
                    yield from self._cycle(context, session, logs, together, build, faults)
                reactions.take()
                take_minutes(session.lake)
                faults.raise_for_any()
                seconds = time.monotonic() - began
                names = ", ".join(stream.name for stream in waiting)
                context.log.info(
                    f"cycle of {names}: {seconds:.2f} s of a budget of {self.budget_seconds:g} s"
                )
                stage.begin(session.settings, context.run_id, "waiting for events")
                pace.note(began=began, seconds=seconds)

    def _wait(
        self,
        meter: LagMeter,
        streams: Sequence[Stream],
        pace: Pace,
        *,
        end: float,
        may_go_on: Callable[[], bool],
    ) -> list[Stream]:
        """The streams that have work as soon as one has and a cycle is due; none when the run is to end."""
        give_up = time.monotonic() + self.linger_seconds
        while time.monotonic() < min(give_up, end) and may_go_on():
            with_work = {lag.stream: lag.events for lag in meter.measure(streams) if lag.has_work}
            rest = pace.rest(time.monotonic(), events=sum(with_work.values())) if with_work else _LOOK_SECONDS
            if not rest:
                return [stream for stream in streams if stream.name in with_work]
            if with_work:
                give_up = time.monotonic() + self.linger_seconds
            time.sleep(rest)
        return []

    def _cycle(
        self,
        context: AssetExecutionContext,
        session: LakeSession,
        logs: "_Logs",
        streams: Iterable[Stream],
        build: Build,
        faults: "_Faults",
    ) -> Iterator[Event]:
        """One cycle of streams whose models belong together; what fails is noted, and the others go on."""
        models = set[AssetKey]()
        for stream in streams:
            try:
                landed = ingest_batch(
                    session, context.instance, stream, logs.of(stream), run_id=context.run_id
                )
            except StreamBusy:  # a command ingests it: its events come with the next cycle
                continue
            except CatalogUnavailable as error:  # of no stream: the run ends, and the next one goes on
                raise Failure(
                    str(error), metadata={STREAM_METADATA: MetadataValue.json({})}, allow_retries=False
                ) from None
            except Exception as error:  # whatever it is, the other streams go on
                faults.streams[stream.name] = _sentence(context, stream, error)
                continue
            yield materialization(raw_key(stream.name), landed.metadata, version=RAW_VERSION)
            yield from recorded(landed.checks, key=raw_key(stream.name))
            broken = [check for check in landed.checks if breaks(check)]
            if broken:
                faults.streams[stream.name] = "; ".join(
                    check.description or str(check.check_name) for check in broken
                )
            else:
                models |= self.models[stream.name]
        models -= left_out(context)
        stage.begin(session.settings, context.run_id, "building models", computes=True)
        if models:
            try:
                yield from recorded(build(models))
            except Failure as failure:  # the models of other groups are built nevertheless
                named = failure.metadata.get(MODELS_METADATA)
                faults.add_models(named, failure.description or "")
        session.trace.end_cycle()


def _sentence(context: AssetExecutionContext, stream: Stream, error: Exception) -> str:
    """Why a batch failed; of an unexpected one the run's page shows the trace."""
    if isinstance(error, MillraceError):
        return str(error)
    context.log.exception(f"a batch of stream '{stream.name}' failed unexpectedly")
    return f"stream '{stream.name}': its batch failed unexpectedly ({type(error).__name__})"


class _Faults:
    """What failed in a cycle, each with its reason: streams and models by name."""

    def __init__(self) -> None:
        self.streams: dict[str, str] = {}
        self.models: dict[str, str] = {}
        self._messages: list[str] = []

    def add_models(self, named: MetadataValue[Any] | None, message: str) -> None:
        """Take in the failure of a build."""
        found = named.value if isinstance(named, JsonMetadataValue) else None
        self.models |= found if isinstance(found, dict) else {EVERY_MODEL: message}
        self._messages.append(message)

    def raise_for_any(self) -> None:
        """Raise Failure if anything failed; its metadata names it."""
        named = {STREAM_METADATA: self.streams, MODELS_METADATA: self.models}
        metadata = {name: MetadataValue.json(failed) for name, failed in named.items() if failed}
        if metadata:
            reasons = dict.fromkeys([*self.streams.values(), *self._messages])
            raise Failure("; ".join(reasons), metadata=metadata, allow_retries=False)


def left_out(context: AssetExecutionContext) -> frozenset[AssetKey]:
    """The models that this run leaves out because they failed before."""
    names = context.run.tags.get(LEFT_OUT_TAG, "").split(",")
    return frozenset(AssetKey.from_user_string(name) for name in names if name)


class _Logs:
    """The streams' logs, each opened when it is first read and closed at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: dict[str, Log] = {}

    def of(self, stream: Stream) -> Log:
        if stream.name not in self._opened:
            self._opened[stream.name] = open_log(stream, self._settings)
        return self._opened[stream.name]

    def __enter__(self) -> "_Logs":
        return self

    def __exit__(self, *_: object) -> None:
        for log in self._opened.values():
            log.close()
