"""The state of everything at one moment: services, streams, models, checks, runs. Read-only and quick.

Showing it belongs to cli/tables.py. A part that cannot be read says why instead of failing the whole.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import duckdb

from ingestion.connectors.registry import is_collected, kinds
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import WATCHER_SECONDS, Lake
from ingestion.settings import Settings
from ingestion.watch.evolution import Evolution, evolutions
from ingestion.watch.lag import LagMeter, StreamLag
from ingestion.watch.rebuilds import rebuilds
from ingestion.watch.schemas_used import SchemasUsed
from orchestration.conditions.condition import Condition
from orchestration.conditions.journal import open_conditions
from orchestration.reactions.counts import reaction_counts
from orchestration.records.part import Part
from orchestration.records.reader import AssetRecord, CheckRecord, DagsterRecords, RunRecord
from orchestration.records.serving_status import publishing_seconds, read_status
from orchestration.records.system_state import ServiceRow, read_system_state

_STREAM_COUNTS = (
    "select stream, sum(events_landed), sum(events_rejected), max(ingested_at), "
    "max(least(last_event_time, ingested_at)), max(batch_id) from raw.batches group by stream"
)
_OPEN_REJECTS = (
    "select stream, count(*) from raw.rejects anti join raw.reject_resolutions using (stream, event_id) "
    "group by stream"
)
_NO_ANSWER = "its log does not answer in time"
_REPLACED = "its log does not continue what the lake holds: 'millrace doctor' says why and what to do"


@dataclass(frozen=True)
class StreamRow:
    """One stream.

    Attributes:
        stream: Its name.
        kind: Of its source.
        position: Sum of its partitions' positions.
        lag_events: Unread positions.
        lag_seconds: Age of the oldest unread event; 0 when all is in, None where it is not known.
        rows: In its raw table.
        rejects: Of its events, ever.
        open_rejects: Of these, neither landed later nor dismissed.
        batches: Number of its last batch.
        last_load_at: UTC.
        last_event_at: Broker's time of the newest event, UTC; not after it was read.
        error: Why something is unknown; empty otherwise.
        rebuilt_rows: Rows so far of a staging table that is built beside the one that is read; None: of none.
        schemas: How the schemas that its values name have changed; empty where they name none.
    """

    stream: str
    kind: str
    position: int = 0
    lag_events: int = 0
    lag_seconds: float | None = None
    rows: int = 0
    rejects: int = 0
    open_rejects: int = 0
    batches: int = 0
    last_load_at: datetime | None = None
    last_event_at: datetime | None = None
    error: str = ""
    rebuilt_rows: int | None = None
    schemas: tuple[Evolution, ...] = ()


@dataclass(frozen=True)
class Overview:
    """Everything at one moment.

    Attributes:
        data_dir: The data folder.
        running: Whether a system runs on it.
        demo: Whether that is a demo.
        ui_url: Address of the web UI; empty without one.
        conditions: What does not work, the most important first; without a running system, as it last was.
        services: The processes.
        streams: The declared streams.
        models: When each was built last.
        checks: The last result of each.
        runs: The newest.
        errors: A sentence for each part that could not be read now.
        silent: Which parts these are: lake, dagster.
        page_url: Address of the live page; empty without one.
        publishing: Mart → seconds from the run that built and checked it until PostgreSQL showed it, of its
            newest instant; so far, while that waits. Empty where nothing is published.
        reactions: Reaction → state → how many alerts, ever (reactions/counts.py).
    """

    data_dir: str
    running: bool
    demo: bool
    ui_url: str
    conditions: tuple[Condition, ...] = ()
    services: tuple[ServiceRow, ...] = ()
    streams: tuple[StreamRow, ...] = ()
    models: tuple[AssetRecord, ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    errors: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    page_url: str = ""
    publishing: Mapping[str, float] = field(default_factory=dict)
    reactions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class OverviewReader:
    """Reads overviews over kept connections. Not for sharing between threads.

    Args:
        settings: Where everything is.
        streams: The declared ones.
        broker_seconds: Bound of each call to a broker.
        clock: Returns the present, UTC.
    """

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[Stream],
        *,
        broker_seconds: float = 3.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._streams = tuple(streams)
        self.lake = Lake(settings, read_only=True, renew_seconds=WATCHER_SECONDS)
        declared = {(not is_collected(stream.source), stream.kind) for stream in self._streams}
        # Spools are files of this machine: they are looked at before brokers, which may let us wait.
        self._meters = {
            group: LagMeter(settings, self.lake, timeout_seconds=broker_seconds, clock=clock, ages=True)
            for group in sorted(declared)
        }
        self.records = DagsterRecords(settings)
        self._schemas = SchemasUsed()
        self._counted: tuple[StreamRow, ...] = ()
        self._asked: tuple[Part[Any], ...] = ()

    @property
    def hangs(self) -> bool:
        """Whether a part of the last read has not come back yet: then nothing here may be used or closed."""
        return any(part.is_asked for part in self._asked)

    def read(self, *, within_seconds: float | None = None) -> Overview:
        """Look at everything once.

        Args:
            within_seconds: What has not answered by then is an error; without it, what hangs is waited for.
        """
        settings, errors, silent = self._settings, [], []
        state = read_system_state(settings.data_dir)
        until = None if within_seconds is None else time.monotonic() + within_seconds
        self._asked = lake, recorded = Part(self.streams), Part(self._recorded)
        streams: tuple[StreamRow, ...] = ()
        models: list[AssetRecord] = []
        checks: list[CheckRecord] = []
        runs: list[RunRecord] = []
        try:
            streams = lake.result(until, what="the lake and the brokers")
        except (MillraceError, duckdb.Error) as error:
            streams = self._counted if lake.is_asked else ()
            if not streams:
                errors.append(str(error).splitlines()[0])
                silent.append("lake")
            if not lake.is_asked:
                self.lake.close()
        try:
            models, checks, runs = recorded.result(until, what="Dagster's storage")
        except MillraceError as error:
            errors.append(str(error))
            silent.append("dagster")
        return Overview(
            data_dir=str(settings.data_dir),
            running=state is not None,
            demo=state is not None and state.mode == "demo",
            ui_url=state.ui_url if state else "",
            conditions=tuple(open_conditions(settings.data_dir)),
            services=state.services if state else (),
            streams=streams,
            models=tuple(record for record in models if not record.asset.startswith(_not_models())),
            checks=tuple(checks),
            runs=tuple(runs),
            errors=tuple(dict.fromkeys(errors)),
            silent=tuple(silent),
            page_url=state.page_url if state else "",
            publishing=_publishing(settings) if state else {},
            reactions=reaction_counts(settings),
        )

    def _recorded(self) -> tuple[list[AssetRecord], list[CheckRecord], list[RunRecord]]:
        return self.records.assets(), self.records.latest_checks(), self.records.runs(limit=5)

    def streams(self) -> tuple[StreamRow, ...]:
        """The streams alone.

        Raises:
            CatalogUnavailable: The lake cannot be read.
        """
        self._counted = ()
        try:
            counts = {row[0]: row[1:] for row in self.lake.query(_STREAM_COUNTS)}
        except duckdb.Error as error:  # also where whoever makes the lake was killed before its tables
            raise self.lake.explain(error) from None
        try:
            waiting = dict(self.lake.query(_OPEN_REJECTS))
        except duckdb.CatalogException:  # a lake of an earlier release has no resolutions yet
            waiting = {name: row[1] for name, row in counts.items()}
        rebuilt = rebuilds(self.lake)
        used = self._schemas.look(self.lake, self._streams)
        schemas = {
            stream.name: evolutions(stream, used[stream.name], self._settings)
            for stream in self._streams
            if stream.name in used
        }

        def rows(lags: Mapping[str, StreamLag]) -> tuple[StreamRow, ...]:
            return tuple(
                replace(
                    _row(stream, lags[stream.name], counts.get(stream.name)),
                    open_rejects=waiting.get(stream.name, 0),
                    rebuilt_rows=rebuilt.get(stream.name),
                    schemas=schemas.get(stream.name, ()),
                )
                for stream in self._streams
            )

        # What is known by now is shown, should a broker take too long.
        lags = {each.name: StreamLag(each.name, error=_NO_ANSWER) for each in self._streams}
        self._counted = rows(lags)
        for (at_broker, kind), meter in self._meters.items():
            measured = meter.measure(
                each for each in self._streams if each.kind == kind and is_collected(each.source) != at_broker
            )
            lags |= {lag.stream: lag for lag in measured}
            self._counted = rows(lags)
        return self._counted

    def close(self) -> None:
        """Close all connections."""
        for meter in self._meters.values():
            meter.close()
        self.lake.close()
        self.records.close()


def _publishing(settings: Settings) -> dict[str, float]:
    """As the publisher says in its file: nothing is asked, so nothing can hang."""
    status = read_status(settings.data_dir)
    return publishing_seconds(status, now=time.time()) if status else {}


def _not_models() -> tuple[str, ...]:
    """How the keys of raw tables and of brokers' topics begin."""
    return ("raw/", *(f"{kind}/" for kind in kinds()))


def _row(stream: Stream, lag: StreamLag, counts: tuple[object, ...] | None) -> StreamRow:
    landed, rejected, loaded_at, event_at, batch = counts or (0, 0, None, None, 0)
    return StreamRow(
        stream=stream.name,
        kind=stream.kind,
        position=lag.position,
        lag_events=lag.events,
        lag_seconds=None if lag.seconds is None else round(lag.seconds, 1),
        rows=int(str(landed)),
        rejects=int(str(rejected)),
        batches=int(str(batch)),
        last_load_at=loaded_at if isinstance(loaded_at, datetime) else None,
        last_event_at=event_at if isinstance(event_at, datetime) else None,
        error=lag.error or (_REPLACED if lag.replaced else ""),
    )
