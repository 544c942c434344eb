"""A log is recognised by the last event that was read of it: it is read again, compared, and left out.

A log that was put back to an earlier state and written on has another event there; that its positions reach
further than ours shows nothing. It works for every kind, over `Log.read`. Rules: docs/delivery.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.log.port import Bounds, Break, Chunk, Log, Window
from ingestion.log.positions import Position, find_break, refusal

_SCHEME = "1"
"""Of the checksum: what another release wrote in another way recognises nothing, and is replaced."""


@dataclass(frozen=True)
class LastEvent:
    """What is kept of the last event that was read of a partition.

    Attributes:
        position: Its position; between it and the next one to read there were holes only.
        checksum: Over its key, value and time.
    """

    position: int
    checksum: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Of a row of SOURCE_SCHEMA."""
        digest = blake2b(digest_size=12)
        moment = row["event_time"]
        for part in (row["event_key"], row["value"], None if moment is None else moment.isoformat().encode()):
            digest.update(b"-" if part is None else b"%d:%b" % (len(part), part))
        return cls(int(row["position"]), digest.hexdigest())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` gave; None for nothing, and for what another release wrote in another way."""
        scheme, _, rest = text.partition(":")
        position, _, checksum = rest.partition(":")
        return cls(int(position), checksum) if scheme == _SCHEME and position.isdigit() else None

    def __str__(self) -> str:
        return f"{_SCHEME}:{self.position}:{self.checksum}"


def last_events(events: pa.Table) -> dict[str, LastEvent]:
    """Partition → its last event, of rows of SOURCE_SCHEMA in log order."""
    if not events.num_rows:
        return {}
    rows = events.select(["source_partition"]).append_column("row", pa.arange(0, events.num_rows))
    lasts = rows.group_by("source_partition").aggregate([("row", "max")])["row_max"]
    return {row["source_partition"]: LastEvent.of(row) for row in events.take(lasts).to_pylist()}


class Recognition:
    """The comparison of some partitions, while their windows are read.

    Args:
        positions: How far partitions are in the lake.
        bounds: What the log holds; where it holds the last event no more there is nothing to compare.

    Attributes:
        others: Partitions that hold other events where ours were.
        unknown: Partitions that hold no event any more by which they could be recognised.
    """

    def __init__(self, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> None:
        self._next = {name: position.next for name, position in positions.items()}
        lasts = {name: LastEvent.parse(position.last_event) for name, position in positions.items()}
        self._awaited = {
            name: last
            for name, last in lasts.items()
            if last is not None and name in bounds and last.position >= bounds[name].begin
        }
        self._compared: set[str] = set()
        self.others: set[str] = set()
        self.unknown = positions.keys() - self._awaited.keys()

    def extended(self, windows: Mapping[str, Window]) -> dict[str, Window]:
        """The windows, each from the event on that is compared."""
        self._awaited = {name: last for name, last in self._awaited.items() if name in windows}
        return {
            name: Window(self._awaited[name].position, window.end) if name in self._awaited else window
            for name, window in windows.items()
        }

    def take(self, chunk: Chunk) -> Chunk:
        """Compare what a chunk holds of events before the lake's positions, and leave it out."""
        if not self._awaited:
            return chunk
        events = chunk.events
        names = pa.array(self._awaited, pa.string())
        starts = pa.array([self._next[name] for name in self._awaited], pa.int64())
        start = pc.take(starts, pc.index_in(events["source_partition"], value_set=names))
        is_known = pc.fill_null(pc.less(events["position"], start), False)
        if pc.any(is_known).as_py():
            for row in events.filter(is_known).to_pylist():
                self._compare(row)
            events = events.filter(pc.invert(is_known))
        for name in [name for name in self._awaited if chunk.positions.get(name, 0) >= self._next[name]]:
            del self._awaited[name]
            if name not in self._compared:
                self.unknown.add(name)
        return Chunk(events, {name: max(at, self._next.get(name, 0)) for name, at in chunk.positions.items()})

    def _compare(self, row: Mapping[str, Any]) -> None:
        name = row["source_partition"]
        # After the last event there were holes only: a second event before our position came later, and
        # differs from the last one in its position.
        if LastEvent.of(row) != self._awaited[name]:
            self.others.add(name)
        self._compared.add(name)


def read_on(
    stream: str,
    log: Log,
    windows: Mapping[str, Window],
    *,
    positions: Mapping[str, Position],
    bounds: Mapping[str, Bounds],
) -> Iterator[Chunk]:
    """Yield the windows' events, each partition's after it was recognised.

    Args:
        stream: The stream's name.
        log: Its log.
        windows: What to read; a window of a partition that the lake knows begins at its position.
        positions: How far each partition is in the lake.
        bounds: What the log holds.

    Raises:
        LogTruncated: A partition was put back to an earlier state and written on.
    """
    recognition = Recognition(positions, bounds)
    for chunk in log.read(recognition.extended(windows)):
        rest = recognition.take(chunk)
        for name in recognition.others:
            raise refusal(stream, log, name, Break.PUT_BACK, positions[name], bounds.get(name))
        yield rest


def recognise(log: Log, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> Recognition:
    """Compare the last event of every partition, and read no other: for those who do not read on.

    Raises:
        SourceUnavailable: The broker does not give them.
    """
    positions = {name: each for name, each in positions.items() if not find_break(each, bounds.get(name))}
    recognition = Recognition(positions, bounds)
    ours = {name: Window(position.next, position.next) for name, position in positions.items()}
    windows = {name: each for name, each in recognition.extended(ours).items() if each.start < each.end}
    for chunk in log.read(windows) if windows else ():
        recognition.take(chunk)
    return recognition
