"""A spool as a log: what a collector has stored of one stream, as one partition.

Listening to senders belongs to collect/; nothing is connected here. Why there is a spool: docs/delivery.md.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.log.envelope import SOURCE_SCHEMA, UTC_MICROSECONDS
from ingestion.log.port import Bounds, Break, Chunk, Start, Window
from ingestion.spool.mark import FrameMark
from ingestion.spool.reader import SpoolReader
from ingestion.spool.shift import Shift, read_shift

FIRST_COLLECTOR = "0"
"""The collector of an installation that has one; several may fill spools of one stream."""
_FURTHER = re.compile(r"(.+)-([1-9]\d*)")


def spool_name(stream: str, number: int) -> str:
    """The folder's name of a stream's spool: the further collectors of a system add their number."""
    return f"{stream}-{number}" if number else stream


def parse_spool_name(name: str) -> tuple[str, int]:
    """The stream and the collector's number of a spool's folder: a stream's name has no hyphen."""
    found = _FURTHER.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)


def collectors_of(stream: str, spool_dir: Path) -> list[int]:
    """The numbers of a system's collectors that have a spool of a stream."""
    try:
        names = [path.name for path in spool_dir.iterdir()]
    except OSError:
        return []  # whoever reads a spool says why it cannot
    return sorted(number for found, number in map(parse_spool_name, names) if found == stream)


class SpoolLog:
    """One stream's log (log/port.py), read from its spool.

    Args:
        stream: The stream's name.
        spool_dir: The folder of all spools; it need not exist before the collector's first start.
        collector: The collector that writes it; it names the partition.
        folder: The spool's folder; `spool_dir/stream` by default.

    Attributes:
        partition: The name of the only partition, `stream-collector`.
        folder: The spool's folder.
    """

    stalls = 0  # nothing is connected
    keeps_until_confirmed = True

    def __init__(
        self, stream: str, spool_dir: Path, *, collector: str = FIRST_COLLECTOR, folder: Path | None = None
    ) -> None:
        self.partition = f"{stream}-{collector}"
        self.folder = folder or spool_dir / stream
        self._stream = stream
        ours = collector == FIRST_COLLECTOR or folder is not None
        self._shown = f"spool/{self.folder.name}" if ours else str(self.folder)
        self._reader = SpoolReader(self.folder)

    @classmethod
    def of_collector(cls, stream: str, spool_dir: Path, number: int) -> Self:
        """The spool of one of a system's own collectors.

        Args:
            stream: The stream's name.
            spool_dir: The folder of all spools.
            number: Of the collector; 0 for the first.
        """
        return cls(stream, spool_dir, collector=str(number), folder=spool_dir / spool_name(stream, number))

    def bounds(self) -> dict[str, Bounds]:
        """The one partition, or nothing before the collector's first start."""
        spool, shift = self.spool_bounds()
        return {self.partition: shift.seen(spool)} if spool else {}

    def spool_bounds(self) -> tuple[Bounds | None, Shift]:
        """What the spool holds in positions of its own, and how the lake's positions differ from these."""
        return self._reader.bounds(), read_shift(self.folder)

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        """Whether the spool holds something else: asking costs next to nothing."""
        return self.bounds() != known

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        """A spool of which a copy was put back, and written on, has another frame where an end was."""
        spool, shift = self.spool_bounds()
        mark = FrameMark.parse(proofs.get(self.partition, ""))
        if not spool or not mark:
            return {}
        # The right spool again, after another one was adopted, has the frame and gives it another position.
        same = mark.frame.next + shift.shift(spool) == mark.end
        # A trimmed frame is in the lake, and nothing of it is left to compare.
        if same and (mark.frame.next <= spool.begin or self._reader.holds(mark)):
            return {}
        return {self.partition: mark.end - 1}

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """The oldest, the next, or the first event received at or after a time."""
        positions = {}
        for name, bounds in partitions.items():
            if start == "earliest":
                positions[name] = bounds.begin
            elif start == "latest":
                positions[name] = bounds.end
            else:
                positions[name] = self._first_since(pa.scalar(start, UTC_MICROSECONDS), bounds)
        return positions

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the window's events in the order in which they were received."""
        shift = self._shift()
        for name, window in windows.items():
            for first, table in self._reader.read(window.start - shift, window.end - shift):
                start, position = first + shift, first + shift + table.num_rows
                columns = [pa.repeat(name, table.num_rows), pa.arange(start, position), *table.columns]
                yield Chunk(pa.table(columns, schema=SOURCE_SCHEMA), {name: position})

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        """When the first event of each window was received: of its frame, which is read alone."""
        shift, times = self._shift(), dict[str, datetime | None]()
        for name, window in windows.items():
            start = window.start - shift
            for _, table in self._reader.read(start, min(start + 1, window.end - shift)):
                times[name] = table["event_time"][0].as_py()
        return times

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Trim what is in the lake."""
        self.trim(max(positions.values(), default=0))

    def trim(self, below: int) -> int:
        """Delete the segments that lie wholly below a position; returns how many."""
        return self._reader.trim(below - self._shift())

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        """What happened to the spool, and the two ways out."""
        if broken is Break.GONE and self.bounds():
            return (
                f"is in the lake up to {position}, and no spool is read under this name: name the data "
                "folder of its collector again, which stays named also when that collector has stopped"
            )
        begin, end = (bounds.begin, bounds.end) if bounds else (0, 0)
        wrong = {
            Break.GONE: f"is in the lake up to {position}, but its spool is gone",
            Break.OTHER_LOG: f"is in the lake up to {position}, but its spool was made again and starts over",
            Break.ENDS_BEFORE: f"has a spool that ends at {end}, and it held positions up to {position}: "
            "an older copy",
            Break.PUT_BACK: f"has a spool with other events than it held before our position {position} or "
            "after it: an older copy that was written on",
            Break.BEGINS_AFTER: f"has a spool that begins at {begin}, after our position {position}: "
            f"{begin - position} unread events were removed",
        }[broken]
        return (
            f"{wrong}; put the right one back into {self._shown}, or accept the loss of what it alone "
            f"held: 'millrace adopt {self._stream}' goes on with the spool that is there"
        )

    def close(self) -> None:
        """Close the spool's file."""
        self._reader.close()

    def _shift(self) -> int:
        spool, shift = self.spool_bounds()
        return shift.shift(spool) if spool else 0

    def _first_since(self, moment: pa.Scalar, bounds: Bounds) -> int:
        shift = self._shift()
        for first, table in self._reader.read(bounds.begin - shift, bounds.end - shift):
            row = pc.index(pc.greater_equal(table["event_time"], moment), True).as_py()
            if row >= 0:
                return first + shift + int(row)
        return bounds.end
