"""What every source is: a log with partitions and positions. Batches know no more of a source than this.

Positions are integers; a window is [start, end). A log may have holes: a partition is complete when its
position has reached the end, whatever the count. How to write one: docs/extending.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
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
        log_id: Identity of the log itself; changes when it is deleted and made again.
            Empty where the broker has none.
        proof: What the log will know this end by (`Log.diverged`); empty where it has nothing for that.
    """

    begin: int
    end: int
    log_id: str = ""
    proof: str = field(default="", compare=False)


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


class Break(Enum):
    """Why a partition does not continue what the lake holds of it."""

    GONE = auto()
    """The log has no such partition."""
    OTHER_LOG = auto()
    """Another log has its name."""
    ENDS_BEFORE = auto()
    """It ends before the lake's position."""
    BEGINS_AFTER = auto()
    """It begins after the lake's position: unread events were deleted."""
    PUT_BACK = auto()
    """It was put back to an earlier state and written on: other events have the positions that were read."""


class Log(Protocol):
    """One stream's log. Every call is bounded in time and raises SourceUnavailable after that time.

    Attributes:
        stalls: How often, so far, a connection that brought nothing was replaced by a new one.
        keeps_until_confirmed: It deletes nothing before `confirm`: that it begins late does not show a loss,
            and an end that it once had shows what it must still hold.
    """

    @property
    def stalls(self) -> int: ...  # noqa: D102
    @property
    def keeps_until_confirmed(self) -> bool: ...  # noqa: D102

    def bounds(self) -> dict[str, Bounds]:
        """Partition → what it holds now. New partitions appear here by themselves."""
        ...

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        """A cheap hint that the log may hold other events than `known`, which it held a moment ago.

        It may come late by milliseconds, and does not see new partitions or a replaced log: `bounds` does.
        """
        ...

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        """Which partitions are not, or not up to there, the log that once had some ends.

        Only what a kind can show by itself (a leader's epoch, a frame's checksum): the last event that was
        read is compared for every kind (recognition.py).

        Args:
            proofs: Partition → `Bounds.proof` of then. `bounds` was called a moment ago.

        Returns:
            Partition → a position from which on, at the latest, it is another log. A partition is left out
            where nothing shows a difference.
        """
        ...

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """Where partitions without a position begin."""
        ...

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the windows' events; ends when each partition has reached its window's end."""
        ...

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        """When the first event of each window came, by its time stamp (UTC); None where it has none.

        Cheap, for those who only watch: little more than one event a partition is read. A partition is left
        out whose window holds no event, or whose answer did not come in time.
        """
        ...

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Report to the broker what is in the lake, for its dashboards and for trimming. May do nothing."""
        ...

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        """What is wrong with a partition and what to do about it.

        Args:
            broken: How it fails to continue the lake.
            position: The lake's next position of it.
            bounds: What the log holds of it now; None where it is gone.

        Returns:
            The rest of a sentence that begins with the partition's name.
        """
        ...

    def close(self) -> None:
        """Close sockets and files."""
        ...
