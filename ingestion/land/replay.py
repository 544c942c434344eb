"""Replay: land what the broker still holds of a window and the lake does not, each position once.

What is in raw already stays as it is; models over it are rebuilt by the caller. Why: docs/decisions/007.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.clock import utc_now
from ingestion.errors import ConfigError, LogTruncated, SourceUnavailable
from ingestion.formats.decode import Decode
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.land.repair import Repairer
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Break, Log, Window
from ingestion.log.positions import DECLARED, Position, find_break, find_breaks, refusal
from ingestion.log.recognition import recognise

_HELD = """
with events as (
    select source_partition, position, event_time, 'raw' as place, null::bigint as batch_id
    from raw."{stream}"
    union all
    select
        rejects.source_partition, position, event_time,
        case outcome when 'dismissed' then 'dismissed' when 'landed' then 'landed' else 'open' end,
        rejects.batch_id
    from raw.rejects
    left join raw.reject_resolutions using (stream, event_id)
    where stream = $stream
)
"""
_SPAN = (
    _HELD + "select source_partition, min(position), max(position) + 1 from events "
    "where event_time >= $since and event_time < $until group by all"
)
_PLACES = (
    _HELD + "select position, place, batch_id from events "
    "where source_partition = $partition and position >= $first and position < $last"
)
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

Bound = tuple[str, int] | datetime | None
"""(partition, position), a time (UTC), or no bound."""


@dataclass(frozen=True)
class PartitionReplay:
    """What a replay found of one partition.

    Attributes:
        partition: Its name.
        start: First position of the window.
        end: The position after its last one; never after the ledger's.
        in_broker: Events of it that the broker gave.
        in_raw: Rows of it that were in raw.<stream> before.
        landed: Events that are in raw.<stream> now and were not before.
        undecodable: Events that the broker gave, that are not in raw, and that do not decode today.
    """

    partition: str
    start: int
    end: int
    in_broker: int = 0
    in_raw: int = 0
    landed: int = 0
    undecodable: int = 0


@dataclass(frozen=True)
class ReplayReport:
    """What a replay did; `warning` says why the broker was not asked, if it was not."""

    stream: str
    partitions: tuple[PartitionReplay, ...] = ()
    batch_ids: tuple[int, ...] = ()
    warning: str = ""

    @property
    def landed(self) -> int:
        """Events landed in all partitions."""
        return sum(each.landed for each in self.partitions)


def parse_bound(text: str | None) -> Bound:
    """Read `orders-0@17` or an ISO time (UTC unless it says another zone).

    Raises:
        ConfigError: It is neither.
    """
    if not text:
        return None
    if found := re.fullmatch(r"(.+)@(\d+)", text):
        return found[1], int(found[2])
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"'{text}' is neither a position, as in orders-0@17, nor a time, as in 2026-03-01T08:00"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def replay(
    lake: Lake,
    stream: str,
    *,
    log: Log,
    decode: Decode,
    since: Bound = None,
    until: Bound = None,
    clock: Callable[[], datetime] = utc_now,
) -> ReplayReport:
    """Compare a window of the log with the lake, by position, and land what is missing.

    Doing it twice changes nothing.

    Args:
        lake: The lake.
        stream: The stream's name.
        log: Its log.
        decode: The decoder of its format.
        since: Where the window begins.
        until: Where it ends (exclusive).
        clock: Returns the present, UTC.

    Raises:
        ConfigError: The bounds name two partitions, or one that the lake does not hold.
        LogTruncated: The broker has another log under the partition's name.
        StreamBusy: Another process writes this stream.
        BatchFailed: The load was rolled back; batches before it are in the lake.
    """
    with writer_lock(lake.settings, stream, application_name=lake.application_name) as lock:
        positions = {
            name: position
            for name, position in read_state(lake, stream).positions.items()
            if name != DECLARED
        }
        named = {bound[0] for bound in (since, until) if isinstance(bound, tuple)}
        if len(named) > 1:
            raise ConfigError(f"a replay from {min(named)} to {max(named)} is two: bounds name one partition")
        if unknown := named - positions.keys():
            raise ConfigError(f"stream '{stream}' holds no partition '{min(unknown)}'")
        chosen = {name: position for name, position in positions.items() if not named or name in named}
        warning = ""
        try:
            bounds = {name: found for name, found in log.bounds().items() if name in chosen}
            windows = _windows(lake, stream, log, bounds, chosen, since=since, until=until)
        except SourceUnavailable as error:
            bounds, warning = {}, f"only the lake was looked at: {error}"
            windows = _windows(lake, stream, log, {}, chosen, since=since, until=until)
        _same_log(stream, log, chosen, bounds)
        work = _Replay(Repairer(lake, stream, decode, clock, lock.assert_held))
        partitions = [
            work.partition(log, name, window, bounds.get(name)) for name, window in sorted(windows.items())
        ]
        return ReplayReport(stream, tuple(partitions), tuple(work.batch_ids), warning)


def _windows(
    lake: Lake,
    stream: str,
    log: Log,
    bounds: Mapping[str, Bounds],
    chosen: Mapping[str, Position],
    *,
    since: Bound,
    until: Bound,
) -> dict[str, Window]:
    """Partition → window. None goes past the ledger's position; later events belong to the next batch."""
    times = [
        _FIRST if not isinstance(since, datetime) else since,
        _LAST if not isinstance(until, datetime) else until,
    ]
    spans = {
        row[0]: (row[1], row[2])
        for row in lake.connection.execute(
            _SPAN.format(stream=stream), {"stream": stream, "since": times[0], "until": times[1]}
        ).fetchall()
    }
    begins: dict[str, int] = {}
    ends: dict[str, int] = {}
    if bounds:  # a broker that is away is not asked again
        begins = log.start_positions(since if isinstance(since, datetime) else "earliest", bounds)
        ends = log.start_positions(until if isinstance(until, datetime) else "latest", bounds)
    windows = {}
    for name, position in chosen.items():
        found = [spans[name]] if name in spans else []
        found += [(begins[name], ends[name])] if name in bounds else []
        first = min((begin for begin, _ in found), default=position.next)
        last = max((end for _, end in found), default=position.next)
        if isinstance(since, tuple):
            first = since[1]
        if isinstance(until, tuple):
            last = until[1]
        last = min(last, position.next)
        windows[name] = Window(min(first, last), last)
    return windows


def _same_log(stream: str, log: Log, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> None:
    ours = {name: positions[name] for name in bounds}
    put_back = {name for name, broken in find_breaks(log, ours, bounds).items() if broken is Break.PUT_BACK}
    for name in put_back | recognise(log, ours, bounds).others:
        raise refusal(stream, log, name, Break.PUT_BACK, positions[name], bounds[name])
    for name, found in bounds.items():
        if find_break(positions[name], found) == Break.OTHER_LOG:
            raise LogTruncated(
                f"stream '{stream}': {name} was deleted and made again: its positions are other events than "
                "those in the lake, so nothing can be replayed from it"
            )


@dataclass
class _Replay:
    """One replay under way; `batch_ids` are the batches that landed something."""

    repairer: Repairer
    batch_ids: list[int] = field(default_factory=list)

    def partition(self, log: Log, name: str, window: Window, bounds: Bounds | None) -> PartitionReplay:
        """Compare one partition and land what is missing of it."""
        lake, stream = self.repairer.lake, self.repairer.stream
        parameters = {"stream": stream, "partition": name, "first": window.start, "last": window.end}
        places = lake.connection.execute(_PLACES.format(stream=stream), parameters).to_arrow_table()
        known = places.filter(pc.not_equal(places["place"], "open"))["position"]
        open_ones = places.filter(pc.equal(places["place"], "open")).select(["position", "batch_id"])
        waiting = {row["position"]: row["batch_id"] for row in open_ones.to_pylist()}
        report = PartitionReplay(
            name, window.start, window.end, in_raw=pc.sum(pc.equal(places["place"], "raw")).as_py() or 0
        )
        for events in _read(log, name, window, bounds, events=lake.settings.batch_max_events):
            missing = events.filter(pc.invert(pc.is_in(events["position"], value_set=known)))
            landed = self._land(missing, waiting) if missing.num_rows else 0
            report = replace(
                report,
                in_broker=report.in_broker + events.num_rows,
                landed=report.landed + landed,
                undecodable=report.undecodable + missing.num_rows - landed,
            )
        return report

    def _land(self, events: pa.Table, waiting: Mapping[int, int]) -> int:
        """Land what decodes of these events; returns how many.

        Args:
            events: Rows of SOURCE_SCHEMA that are not in raw.
            waiting: Position of an open reject → the batch that rejected it.
        """

        def resolutions(landed: pa.Table, batch_id: int) -> list[Mapping[str, Any]]:
            return [
                {
                    "stream": self.repairer.stream,
                    "event_id": row["event_id"],
                    "batch_id": waiting.get(row["position"], batch_id),
                    "outcome": "landed" if row["position"] in waiting else "replayed",
                    "landed_batch_id": batch_id,
                }
                for row in landed.select(["event_id", "position"]).to_pylist()
            ]

        batch_id, landed = self.repairer.land(events, resolutions)
        self.batch_ids += [] if batch_id is None else [batch_id]
        return len(landed)


def _read(log: Log, name: str, window: Window, bounds: Bounds | None, *, events: int) -> Iterator[pa.Table]:
    """The events that the broker gives of a window, about `events` at a time: each may become a batch."""
    first = max(window.start, bounds.begin) if bounds else 0
    last = min(window.end, bounds.end) if bounds else 0
    while first < last:
        part = Window(first, min(first + events, last))
        yield pa.concat_tables(
            [SOURCE_SCHEMA.empty_table(), *(each.events for each in log.read({name: part}))]
        )
        first = part.end
