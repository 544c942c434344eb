"""One micro-batch of one stream: lock → plan → read → decode → load → confirm.

What may go wrong between any two of these, and why nothing is lost or doubled: docs/delivery.md.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa
import structlog

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.errors import SourceMissing, TooManyRejects
from ingestion.faultpoints import faultpoint
from ingestion.formats.decode import Decode
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import StreamState, read_format_states, read_state
from ingestion.lake.loader import Loader
from ingestion.land.report import BatchReport, Laps
from ingestion.land.requests import send_requests
from ingestion.land.rows import Reading, batch_rows, retired_rows
from ingestion.log.port import Bounds, Log, Window
from ingestion.log.positions import (
    BEGINNING,
    DECLARED,
    Position,
    after_truncation,
    check_log,
    plan_windows,
)
from ingestion.log.recognition import read_on
from ingestion.log.standing import absent, stand
from ingestion.telemetry.producers import Producers, producers_of

_log = structlog.get_logger(__name__)
_LEAST_FOR_SHARE = 20
"""In a smaller batch a share says nothing: one bad event of one is all of it."""


@dataclass(frozen=True)
class _Plan:
    """What a batch is to read.

    Attributes:
        batch_id: Its number.
        started_at: When it began, UTC.
        bounds: What the log holds.
        windows: Partition → positions to read.
        skipped: Partition → positions before its window that retention deleted unread; where there are any.
        is_new: A partition appears that the lake does not know.
        retire: Partition → why it is not read on from here.
        notes: What does not go on although the rest does, as sentences.
        missing: Why nothing can be read; None where something can.
    """

    batch_id: int
    started_at: datetime
    bounds: Mapping[str, Bounds]
    windows: Mapping[str, Window]
    skipped: Mapping[str, int]
    is_new: bool
    retire: Mapping[str, str]
    notes: tuple[str, ...]
    missing: SourceMissing | None

    @property
    def has_work(self) -> bool:
        """Whether there is something to write down: events, a gap, or a partition's beginning."""
        # A new partition gets a ledger row even when it is empty: then its end is the lake's position.
        # Otherwise `start: latest` would be asked again later, and skip what came in between.
        return (
            self.is_new
            or bool(self.skipped)
            or bool(self.retire)
            or any(window.start < window.end for window in self.windows.values())
        )


class Ingestor:
    """Runs batches over one kept lake connection.

    Args:
        lake: The lake; its settings give the limits.
        clock: Returns the present, UTC.
        looks_for_producers: Whether reports say whose events a batch holds.
    """

    def __init__(
        self,
        lake: Lake,
        *,
        clock: Callable[[], datetime] = utc_now,
        looks_for_producers: bool = False,
    ) -> None:
        self._lake = lake
        self._looks_for_producers = looks_for_producers
        self._loader = Loader(lake)
        self._clock = clock

    def run(self, stream: Stream, log: Log, *, decode: Decode) -> BatchReport:
        """Bring one batch of a stream into the lake.

        Args:
            stream: A declared stream; its raw table exists.
            log: Its log.
            decode: The decoder of its format.

        Raises:
            StreamBusy: Another process writes this stream.
            LogTruncated: The log does not continue what the lake holds.
            SourceUnavailable: The broker is away.
            FormatUnavailable: What the format needs is away.
            CatalogUnavailable: The catalog is away, or went away before the load.
            BatchFailed: The load was rolled back; the next batch reads the same events again.
            TooManyRejects: More than `max_reject_share` were rejects: nothing was loaded.
        """
        try:
            return self._run(stream, log, decode)
        except duckdb.Error as error:
            self._lake.close()  # what is left of its connection is of no use to the next batch
            raise self._lake.explain(error) from error

    def _run(self, stream: Stream, log: Log, decode: Decode) -> BatchReport:
        laps, stalls_before = Laps(), log.stalls
        with writer_lock(
            self._lake.settings, stream.name, application_name=self._lake.application_name
        ) as lock:
            faultpoint("batch.locked")
            state = read_state(self._lake, stream.name)
            plan = self._plan(stream, log, state)
            laps.mark("plan")
            if not plan.has_work:
                _raise(plan)
                return BatchReport(
                    stream.name, seconds=laps.seconds, notes=plan.notes, newest_batch_id=state.last_batch_id
                )
            reading = self._read(stream, log, plan, state.positions, decode)
            laps.mark("read")
            tables, windows = self._tables(stream, reading, plan, state.positions)
            laps.mark("decode")
            load_id = self._loader.load(stream.name, tables, before_commit=lock.assert_held)
            laps.mark("load")
            _raise(plan)
            self._confirm(stream, log, windows)
            laps.mark("confirm")
        send_requests(stream, reading.requests, self._lake.settings)
        landed, rejected = tables[stream.name].num_rows, tables["rejects"].num_rows
        headers = tables[stream.name]["headers"] if self._looks_for_producers else None
        return BatchReport(
            stream.name,
            batch_id=plan.batch_id,
            load_id=load_id,
            windows=windows,
            events_read=landed + rejected,
            events_landed=landed,
            events_rejected=rejected,
            bytes_read=reading.bytes,
            unread={
                name: Window(window.end, plan.bounds[name].end)
                for name, window in windows.items()
                if window.end < plan.bounds[name].end
            },
            stalls=log.stalls - stalls_before,
            notes=plan.notes,
            seconds=laps.seconds,
            newest_batch_id=plan.batch_id,
            producers=Producers() if headers is None else producers_of(headers),
        )

    def _plan(self, stream: Stream, log: Log, state: StreamState) -> _Plan:
        bounds, missing = _bounds(log)
        standing = stand(
            state.positions, bounds, covers=stream.source.covers, is_kept=log.keeps_until_confirmed
        )
        starts = _start_positions(stream, log, standing.read, bounds, is_first=not state.positions)
        skipped = {name: starts[name] - position.next for name, position in standing.read.items()}
        retire = dict(standing.retire)
        if not state.positions and not bounds and stream.source.start == "latest":
            retire[DECLARED] = BEGINNING  # whatever comes from now on is later than its declaration
        return _Plan(
            batch_id=state.last_batch_id + 1,
            started_at=self._clock(),
            bounds=bounds,
            windows=plan_windows(starts, bounds, max_events=self._lake.settings.batch_max_events),
            skipped={name: count for name, count in skipped.items() if count},
            is_new=not bounds.keys() <= state.positions.keys(),
            retire=retire,
            notes=(
                *standing.sentences(stream.name, state.positions),
                *absent(stream.name, [] if missing else stream.source.absent(bounds)),
            ),
            missing=missing,
        )

    def _read(
        self, stream: Stream, log: Log, plan: _Plan, positions: Mapping[str, Position], decode: Decode
    ) -> Reading:
        """Read until the windows are complete or the batch's bytes or seconds are used up."""
        settings = self._lake.settings
        reading = Reading({partition: window.start for partition, window in plan.windows.items()})
        before = read_format_states(self._lake, stream.name) if decode.keeps_state else {}
        deadline = time.monotonic() + settings.batch_max_seconds
        wanted = {name: window for name, window in plan.windows.items() if window.end > window.start}
        for chunk in read_on(stream.name, log, wanted, positions=positions, bounds=plan.bounds):
            faultpoint("batch.polled")
            decoded = decode(
                chunk.events,
                stream=stream.name,
                batch_id=plan.batch_id,
                ingested_at=self._clock(),
                max_bytes=settings.payload_max_bytes,
                states=before | reading.states,
            )
            reading.add(chunk.events, decoded, chunk.positions)
            if reading.bytes >= settings.batch_max_bytes or time.monotonic() >= deadline:
                break
        return reading

    def _tables(
        self, stream: Stream, reading: Reading, plan: _Plan, positions: Mapping[str, Position]
    ) -> tuple[dict[str, pa.Table], dict[str, Window]]:
        """The rows to load (events, rejects, and the ledger's), and the windows that were read.

        Raises:
            TooManyRejects: More than `max_reject_share` are rejects.
        """
        for name, count in plan.skipped.items():
            _log.warning("retention deleted unread positions", partition=name, positions_skipped=count)
        tables = {stream.name: reading.events, "rejects": reading.rejects}
        _check_share(stream, tables[stream.name], tables["rejects"])
        windows = {
            name: Window(window.start, reading.positions[name]) for name, window in plan.windows.items()
        }
        ledger = batch_rows(
            reading,
            tables,
            windows,
            plan.bounds,
            stream=stream.name,
            batch_id=plan.batch_id,
            started_at=plan.started_at,
            ingested_at=self._clock(),
            skipped=plan.skipped,
            positions=positions,
            tolerance=stream.clock_tolerance,
        )
        retired = retired_rows(
            positions, plan.retire, stream=stream.name, batch_id=plan.batch_id, at=plan.started_at
        )
        tables["batches"] = pa.concat_tables([ledger, retired])
        return tables, windows

    def _confirm(self, stream: Stream, log: Log, windows: Mapping[str, Window]) -> None:
        """Report to the broker. The lake has the events already: a failure here is worth a warning only."""
        try:
            log.confirm({partition: window.end for partition, window in windows.items()})
        except Exception as error:
            _log.warning("positions not confirmed to the broker", stream=stream.name, error=str(error))


def _bounds(log: Log) -> tuple[dict[str, Bounds], SourceMissing | None]:
    """What the log holds, and why it is nothing where the broker has none of what is declared."""
    try:
        return log.bounds(), None
    except SourceMissing as error:
        return {}, error


def _raise(plan: _Plan) -> None:
    """Raise what keeps everything from being read, once the ledger has what is to be noted of it."""
    if plan.missing:
        raise SourceMissing("; ".join([str(plan.missing), *plan.notes]))


def _start_positions(
    stream: Stream,
    log: Log,
    positions: Mapping[str, Position],
    bounds: Mapping[str, Bounds],
    *,
    is_first: bool,
) -> dict[str, int]:
    """Where each partition goes on: at the ledger's position, or where a new one begins.

    A partition that appears after the stream's first batch begins at its beginning: what was written
    to it before it was first seen counts too.
    """
    if stream.source.skips_truncated:
        positions = after_truncation(positions, bounds)
    check_log(stream.name, log, positions, bounds)
    new = {name: found for name, found in bounds.items() if name not in positions}
    starts = {name: position.next for name, position in positions.items()}
    if new:
        starts |= log.start_positions(stream.source.start if is_first else "earliest", new)
    return starts


def _check_share(stream: Stream, events: pa.Table, rejects: pa.Table) -> None:
    limit, read = stream.max_reject_share, events.num_rows + rejects.num_rows
    if limit is None or read < _LEAST_FOR_SHARE or rejects.num_rows <= limit * read:
        return
    first = rejects.slice(0, 1).to_pylist()[0]
    raise TooManyRejects(
        f"stream '{stream.name}': {rejects.num_rows} of {read} events ({rejects.num_rows / read:.0%}) cannot "
        f"be decoded, more than max_reject_share {limit:g} allows (the first is {first['event_id']}: "
        f"{first['reason']}, {first['detail']}); nothing was loaded and positions stay: correct the sender "
        "or raise max_reject_share in streams.yml, and the same events are read again"
    )
