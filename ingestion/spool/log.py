"""An MQTT stream as a log: what the collector has spooled, one partition.

Listening to the broker belongs to collector.py; here nothing is connected. Why: docs/delivery.md.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.log.envelope import SOURCE_SCHEMA, UTC_MICROSECONDS
from ingestion.log.port import Bounds, Chunk, Start, Window
from ingestion.spool.reader import SpoolReader
from ingestion.spool.shift import Shift, read_shift


class MqttLog:
    """One MQTT stream's log (log/port.py), read from its spool.

    Args:
        stream: The stream's name.
        spool_dir: The folder of all spools; it need not exist before the collector's first start.
    """

    stalls = 0  # nothing is connected

    def __init__(self, stream: str, spool_dir: Path) -> None:
        self.partition = f"{stream}-0"
        self._reader = SpoolReader(spool_dir / stream)

    def bounds(self) -> dict[str, Bounds]:
        """The one partition, or nothing before the collector's first start."""
        held, shift = self.own()
        return {self.partition: shift.seen(held)} if held else {}

    def own(self) -> tuple[Bounds | None, Shift]:
        """The spool's own bounds, and what the lake's view of them differs by."""
        return self._reader.bounds(), read_shift(self._reader.folder)

    def stirred(self, known: Mapping[str, Bounds]) -> bool:
        """Whether the spool holds something else: asking costs next to nothing."""
        return self.bounds() != known

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

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Trim what is in the lake."""
        self.trim(max(positions.values(), default=0))

    def trim(self, below: int) -> int:
        """Delete the segments that lie wholly below a position; returns how many."""
        return self._reader.trim(below - self._shift())

    def close(self) -> None:
        """Let go of the spool's file."""
        self._reader.close()

    def _shift(self) -> int:
        held, shift = self.own()
        return shift.shift(held) if held else 0

    def _first_since(self, moment: pa.Scalar, bounds: Bounds) -> int:
        shift = self._shift()
        for first, table in self._reader.read(bounds.begin - shift, bounds.end - shift):
            row = pc.index(pc.greater_equal(table["event_time"], moment), True).as_py()
            if row >= 0:
                return first + shift + int(row)
        return bounds.end
