"""One micro-batch of one stream: lock → plan → read → decode → load → confirm.

What may go wrong between any two of these, and why nothing is lost or doubled: docs/delivery.md.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from ingestion.declare.stream import KafkaSource, Stream
from ingestion.errors import TooManyRejects
from ingestion.faultpoints import faultpoint
from ingestion.formats.json import Decoded, decode_json
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.lake.loader import Loader
from ingestion.log.envelope import BATCH_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA
from ingestion.log.port import Bounds, Log, Window
from ingestion.log.positions import Position, behind_truncation, check_log, plan_windows

_log = structlog.get_logger(__name__)
_LEAST_FOR_SHARE = 20
"""In a smaller batch a share says nothing: one bad event of one is all of it."""


def utc_now() -> datetime:
    """The clock; an argument wherever time matters, so that tests can set it."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class BatchReport:
    """What a batch did.

    Attributes:
        stream: The stream's name.
        batch_id: Its number within the stream, or None when there was nothing to do.
        load_id: dlt's load id, likewise.
        windows: Partition → positions that are now in the lake.
        events_read: Landed plus rejected.
        events_landed: Rows added to raw.<stream>.
        events_rejected: Rows added to raw.rejects.
        bytes_read: Of the values.
        lag_events: Positions left unread behind this batch when it was planned.
        stalls: How often a connection that brought nothing was replaced while reading.
        seconds: Step → wall time.
        newest_batch_id: Number of the stream's newest batch in the lake, this one or an earlier; 0: none.
    """

    stream: str
    batch_id: int | None = None
    load_id: str | None = None
    windows: Mapping[str, Window] = field(default_factory=dict)
    events_read: int = 0
    events_landed: int = 0
    events_rejected: int = 0
    bytes_read: int = 0
    lag_events: int = 0
    stalls: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    newest_batch_id: int = 0


@dataclass(frozen=True)
class _Read:
    decoded: list[Decoded]
    sources: list[pa.Table]
    positions: dict[str, int]


class Ingestor:
    """Runs batches over one kept lake connection.

    Args:
        lake: The lake; its settings give the limits.
        clock: Returns the present, UTC.
    """

    def __init__(self, lake: Lake, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._lake = lake
        self._loader = Loader(lake)
        self._clock = clock

    def run(self, stream: Stream, log: Log) -> BatchReport:
        """Bring one batch of a stream into the lake.

        Raises:
            StreamBusy: Another process writes this stream.
            LogTruncated: The log does not continue what the lake holds.
            SourceUnavailable: The broker is away.
            BatchFailed: The load was rolled back; the next batch reads the same events again.
            TooManyRejects: More than `max_reject_share` were rejects: nothing was loaded.
        """
        settings = self._lake.settings
        laps, stalls_before = _Laps(), log.stalls
        with writer_lock(settings, stream.name, application_name=self._lake.application_name) as lock:
            state = read_state(self._lake, stream.name)
            bounds = log.bounds()
            starts = _start_positions(stream, log, state.positions, bounds)
            windows = plan_windows(starts, bounds, max_events=settings.batch_max_events)
            laps.mark("plan")
            new_partitions = set(bounds) - set(state.positions)
            skipped = {
                name: gap
                for name, position in state.positions.items()
                if (gap := starts[name] - position.next)
            }
            if (
                not new_partitions
                and not skipped
                and all(window.start == window.end for window in windows.values())
            ):
                return BatchReport(stream.name, seconds=laps.seconds, newest_batch_id=state.last_batch_id)
            batch_id, started_at = state.last_batch_id + 1, self._clock()
            read = self._read(stream, log, windows, batch_id=batch_id)
            laps.mark("read")
            for name, count in skipped.items():
                _log.warning("retention deleted unread positions", partition=name, positions_skipped=count)
            tables, windows = self._tables(
                stream, read, windows, bounds, batch_id=batch_id, started_at=started_at, skipped=skipped
            )
            _check_share(stream, tables[stream.name], tables["rejects"])
            laps.mark("decode")
            load_id = self._loader.load(stream.name, tables, before_commit=lock.assert_held)
            laps.mark("load")
            positions = {partition: window.end for partition, window in windows.items()}
            self._confirm(stream, log, positions)
            laps.mark("confirm")
        landed, rejected = tables[stream.name].num_rows, tables["rejects"].num_rows
        return BatchReport(
            stream.name,
            batch_id=batch_id,
            load_id=load_id,
            windows=windows,
            events_read=landed + rejected,
            events_landed=landed,
            events_rejected=rejected,
            bytes_read=int(pc.sum(tables["batches"]["bytes_read"]).as_py() or 0),
            lag_events=sum(bounds[partition].end - window.end for partition, window in windows.items()),
            stalls=log.stalls - stalls_before,
            seconds=laps.seconds,
            newest_batch_id=batch_id,
        )

    def _read(self, stream: Stream, log: Log, windows: Mapping[str, Window], *, batch_id: int) -> _Read:
        """Read until the windows are complete or the batch's bytes or seconds are used up."""
        settings = self._lake.settings
        positions = {partition: window.start for partition, window in windows.items()}
        read = _Read([], [], positions)
        deadline = time.monotonic() + settings.batch_max_seconds
        size = 0
        for chunk in log.read(
            {name: window for name, window in windows.items() if window.end > window.start}
        ):
            faultpoint("batch.polled")
            decoded = decode_json(
                chunk.events,
                stream=stream.name,
                batch_id=batch_id,
                ingested_at=self._clock(),
                max_bytes=settings.payload_max_bytes,
            )
            read.decoded.append(decoded)
            read.sources.append(
                chunk.events.select(["source_partition", "event_time"]).append_column(
                    "bytes", pc.fill_null(pc.binary_length(chunk.events["value"]), 0)
                )
            )
            read.positions.update(chunk.positions)
            size += int(pc.sum(read.sources[-1]["bytes"]).as_py() or 0)
            if size >= settings.batch_max_bytes or time.monotonic() >= deadline:
                break
        return read

    def _tables(
        self,
        stream: Stream,
        read: _Read,
        windows: Mapping[str, Window],
        bounds: Mapping[str, Bounds],
        *,
        batch_id: int,
        started_at: datetime,
        skipped: Mapping[str, int],
    ) -> tuple[dict[str, pa.Table], dict[str, Window]]:
        """The rows to load: events, rejects, and the ledger rows that speak of them."""
        done = {name: Window(window.start, read.positions[name]) for name, window in windows.items()}
        events = pa.concat_tables([EVENT_SCHEMA.empty_table(), *(part.events for part in read.decoded)])
        rejects = pa.concat_tables([REJECT_SCHEMA.empty_table(), *(part.rejects for part in read.decoded)])
        landed, rejected = _count_by_partition(events), _count_by_partition(rejects)
        spans = _spans_by_partition(read.sources)
        rows = [
            {
                "stream": stream.name,
                "batch_id": batch_id,
                "source_partition": name,
                "log_id": bounds[name].log_id,
                "start_position": window.start,
                "end_position": window.end,
                "log_end_position": bounds[name].end,
                "events_read": landed.get(name, 0) + rejected.get(name, 0),
                "events_landed": landed.get(name, 0),
                "events_rejected": rejected.get(name, 0),
                "started_at": started_at,
                "ingested_at": self._clock(),
                "positions_skipped": skipped.get(name, 0),
            }
            | spans.get(name, {"bytes_read": 0, "first_event_time": None, "last_event_time": None})
            for name, window in sorted(done.items())
        ]
        batches = pa.Table.from_pylist(rows, schema=BATCH_SCHEMA)
        return {stream.name: events, "rejects": rejects, "batches": batches}, done

    def _confirm(self, stream: Stream, log: Log, positions: Mapping[str, int]) -> None:
        """Tell the broker. The lake has the events already: a failure here is worth a warning only."""
        try:
            log.confirm(positions)
        except Exception as error:
            _log.warning("positions not confirmed to the broker", stream=stream.name, error=str(error))


class _Laps:
    """Wall time of each step, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def mark(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 4)
        self._last = now


def _start_positions(
    stream: Stream, log: Log, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]
) -> dict[str, int]:
    """Where each partition goes on: behind the ledger's position, or where a new one begins.

    A partition that appears after the stream's first batch begins at its beginning: what was written
    to it before we saw it counts too.
    """
    source = stream.source
    if isinstance(source, KafkaSource) and source.on_truncated == "earliest":
        positions = behind_truncation(positions, bounds)
    check_log(stream, positions, bounds)
    new = {name: held for name, held in bounds.items() if name not in positions}
    starts = {name: position.next for name, position in positions.items()}
    if new:
        starts |= log.start_positions("earliest" if positions else source.start, new)
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


def _count_by_partition(table: pa.Table) -> dict[str, int]:
    counts = table.group_by("source_partition").aggregate([([], "count_all")])
    return dict(zip(counts["source_partition"].to_pylist(), counts["count_all"].to_pylist(), strict=True))


def _spans_by_partition(sources: list[pa.Table]) -> dict[str, dict[str, object]]:
    if not sources:
        return {}
    spans = (
        pa.concat_tables(sources)
        .group_by("source_partition")
        .aggregate([("bytes", "sum"), ("event_time", "min"), ("event_time", "max")])
    )
    return {
        row["source_partition"]: {
            "bytes_read": row["bytes_sum"],
            "first_event_time": row["event_time_min"],
            "last_event_time": row["event_time_max"],
        }
        for row in spans.to_pylist()
    }
