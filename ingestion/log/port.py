"""What every source is: a log with partitions and positions. batch.py knows no more than this.

Positions are integers; a window is [start, end). A log may have holes: a partition is complete when
its position has reached the end, whatever the count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import pyarrow as pa

Start = Literal["earliest", "latest"] | datetime
"""Where a stream begins that has no position yet; a datetime is the first event time wanted (UTC)."""


@dataclass(frozen=True)
class Bounds:
    """What a partition's log holds now: positions [begin, end).

    Attributes:
        begin: The oldest position still kept.
        end: The position that the next event will get.
        log_id: Identity of the log itself (Kafka: topic id); changes when it is deleted and made again.
            Empty where the broker has none.
    """

    begin: int
    end: int
    log_id: str = ""


@dataclass(frozen=True)
class Window:
    """The part of one partition that a batch takes: positions [start, end)."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a window runs forward, not from {self.start} to {self.end}")


@dataclass(frozen=True)
class Chunk:
    """Some events in log order, and where each partition then stands.

    Attributes:
        events: Rows of envelope.SOURCE_SCHEMA.
        positions: Partition → next position to read, beyond holes too.
    """

    events: pa.Table
    positions: Mapping[str, int]


class Log(Protocol):
    """One stream's log. Every call is bounded in time and raises SourceUnavailable past it.

    Attributes:
        stalls: How often, so far, a connection that brought nothing was replaced by a new one.
    """

    stalls: int

    def bounds(self) -> dict[str, Bounds]:
        """Partition → what it holds now. New partitions appear here by themselves."""
        ...

    def stirred(self, known: Mapping[str, Bounds]) -> bool:
        """A cheap hint that the log may hold other events than `known`, which it held a moment ago.

        Late by milliseconds, and blind to new partitions and other logs of the same name: bounds tell.
        """
        ...

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """Where partitions without a position begin."""
        ...

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the windows' events; ends when each partition has reached its window's end."""
        ...

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Tell the broker what is in the lake, for its dashboards and for trimming. May do nothing."""
        ...

    def close(self) -> None:
        """Let go of sockets and files."""
        ...
