"""A log in memory that claims any identity: what a broker could hold, without one.

It implements the port that batches read (ingestion/log/port.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tests.frozen.product import SOURCE_SCHEMA, Bounds, Break, Chunk, Window, explain

SENT_AT = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Part:
    """One partition: where it begins, its values from there on, and the log's identity."""

    begin: int
    values: Sequence[bytes | None] = ()
    log_id: str = ""

    @property
    def bounds(self) -> Bounds:
        """What it holds."""
        return Bounds(self.begin, self.begin + len(self.values), self.log_id)


@dataclass
class MemoryLog:
    """Partition → what it holds; `confirmed` is what a batch has told."""

    parts: Mapping[str, Part]
    confirmed: dict[str, int] = field(default_factory=dict)
    stalls: int = 0
    keeps_until_confirmed: bool = False

    def bounds(self) -> dict[str, Bounds]:
        """Of every partition."""
        return {name: part.bounds for name, part in self.parts.items()}

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        """Whether it holds something else."""
        return self.bounds() != known

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        """It has nothing that shows it."""
        return {}

    def start_positions(self, start: Any, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """The oldest or the next; nothing has a time of its own here."""
        return {name: held.end if start == "latest" else held.begin for name, held in partitions.items()}

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """A chunk for each partition."""
        for name, window in windows.items():
            part = self.parts[name]
            values = part.values[window.start - part.begin : window.end - part.begin]
            columns = {
                "source_partition": [name] * len(values),
                "position": list(range(window.start, window.end)),
                "event_key": [b"key"] * len(values),
                "value": list(values),
                "headers": [None] * len(values),
                "event_time": [SENT_AT] * len(values),
            }
            arrays = [pa.array(columns[each.name], each.type) for each in SOURCE_SCHEMA]
            yield Chunk(pa.table(arrays, schema=SOURCE_SCHEMA), {name: window.end})

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        """All of them were sent at once."""
        return {name: SENT_AT for name, window in windows.items() if window.start < window.end}

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Remember it."""
        self.confirmed.update(positions)

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        """As a topic's log says it."""
        return explain(broken, position=position, bounds=bounds)

    def close(self) -> None:
        """There is nothing to close."""
