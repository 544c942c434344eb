"""What the arrivals sensor looks at: the lag of every stream, and batches that no model holds yet.

It keeps its connections from tick to tick. What follows from a look is decided in arrivals.py.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

import duckdb
from dagster import DagsterInstance, SensorEvaluationContext
from dagster._core.instance.ref import InstanceRef

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.lake.lake import WATCHER_SECONDS, Lake
from ingestion.settings import Settings
from ingestion.watch.evolution import Evolution, evolutions
from ingestion.watch.lag import LagMeter, StreamLag
from ingestion.watch.schemas_used import SchemasUsed, SchemaUse
from orchestration.run.progress import ModelledBatches
from orchestration.sensors.standstill import FLOOD_SECONDS

_BROKER_SECONDS = 2.0
_REJECTS_SECONDS = 30.0
_SCHEMAS_SECONDS = 30.0


class Watch:
    """The kept connections of the process that evaluates the sensor; ticks may come on any thread.

    Args:
        settings: Reads the settings at the first look, and after a failed one.
        streams: The declared streams.
        modelled_seconds: How long a batch may be in the lake and not in the models before it counts as left.
    """

    def __init__(
        self, settings: Callable[[], Settings], streams: Sequence[Stream], *, modelled_seconds: float
    ) -> None:
        self._load_settings = settings
        self._streams = streams
        self._modelled_seconds = modelled_seconds
        self._modelled: Mapping[str, int] = {}
        self._missing_since: dict[tuple[str, int], float] = {}
        self._rejects: Mapping[str, tuple[int, int]] = {}
        self._rejects_at = float("-inf")
        self._used, self._schemas_at = SchemasUsed(), float("-inf")
        self._seen: Mapping[str, tuple[SchemaUse, ...]] = {}
        self._schemas: Mapping[str, tuple[Evolution, ...]] = {}
        self._lock = threading.Lock()
        self._meter: LagMeter | None = None
        self._lake: Lake | None = None
        self._instance: tuple[InstanceRef, DagsterInstance] | None = None

    def instance(self, context: SensorEvaluationContext) -> DagsterInstance:
        """Dagster's instance, kept: a context opens one for every tick."""
        reference = context.instance_ref
        if reference is None:
            return context.instance
        with self._lock:
            if self._instance is None or self._instance[0] != reference:
                self._instance = reference, DagsterInstance.from_ref(reference)
            return self._instance[1]

    def look(self) -> list[StreamLag]:
        """The lag of every stream; an unreachable broker is an error of its stream's entry.

        Raises:
            MillraceError: The lake or the settings cannot be read; the next look opens everything again.
        """
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

        Then the run that landed it died or failed because of another stream, or it was landed from the
        command line.
        """
        newest = {lag.stream: lag.batch_id for lag in lags if lag.batch_id}
        with self._lock:
            # Dagster's database is asked only when the lake holds a batch that was not modelled so far.
            if any(self._modelled.get(name) != batch for name, batch in newest.items()):
                self._modelled = ModelledBatches(instance).of(newest)
            now = time.monotonic()
            self._missing_since = {
                (name, batch): self._missing_since.get((name, batch), now)
                for name, batch in newest.items()
                if self._modelled.get(name) != batch
            }
            return {
                name: now - since >= self._modelled_seconds
                for (name, _), since in self._missing_since.items()
            }

    def rejects(self) -> Mapping[str, tuple[int, int]]:
        """Stream → events read and rejected by the batches of the last minutes, asked now and then.

        Raises:
            MillraceError: The lake cannot be read.
        """
        with self._lock:
            now = time.monotonic()
            if self._lake is not None and now >= self._rejects_at + _REJECTS_SECONDS:
                self._rejects_at = now
                since = utc_now() - timedelta(seconds=FLOOD_SECONDS)
                rows = self._lake.query(
                    "select stream, sum(events_read), sum(events_rejected) from raw.batches "
                    "where ingested_at >= ? group by stream",
                    [since],
                )
                self._rejects = {stream: (int(read), int(rejected)) for stream, read, rejected in rows}
            return self._rejects

    def schemas(self) -> Mapping[str, tuple[Evolution, ...]]:
        """Stream → how the schemas of its values have changed, asked now and then.

        Raises:
            MillraceError: The lake cannot be read.
        """
        with self._lock:
            now = time.monotonic()
            if self._lake is not None and now >= self._schemas_at + _SCHEMAS_SECONDS:
                self._schemas_at = now
                try:
                    used = self._used.look(self._lake, self._streams)
                except duckdb.Error as error:
                    raise self._lake.explain(error) from None
                if used != self._seen:
                    self._seen, settings = used, self._lake.settings
                    self._schemas = {
                        stream.name: evolutions(stream, used[stream.name], settings)
                        for stream in self._streams
                        if used.get(stream.name)
                    }
            return self._schemas

    def _reset(self) -> None:
        if self._meter is not None:
            self._meter.close()
        if self._lake is not None:
            self._lake.close()
        self._meter = self._lake = None
