"""Events that wait to be stored, each in its lane: receipts of a lane come back in the order of arrival.

A lane that cannot be stored holds up no other. Writing them is intake.py's work.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from ingestion.spool.writer import SpoolEvent

_OBJECT_BYTES = 450
"""What an event without any content takes while it waits; measured with CPython 3.11."""

Receipt = TypeVar("Receipt")


class Place(NamedTuple):
    """Where an event is durable: a spool, its log's identity, and the position there (the spool's own)."""

    spool: str
    log_id: str
    position: int


Placed = Callable[[Place], None]
"""Hears of each spool in which an event is durable, before its receipt comes back."""


@dataclass(slots=True)
class Waiting(Generic[Receipt]):
    """An event and the spools that do not hold it yet."""

    event: SpoolEvent
    missing: tuple[str, ...]
    receipt: Receipt
    placed: Placed | None = None


@dataclass(slots=True)
class _Lane(Generic[Receipt]):
    waiting: deque[Waiting[Receipt]] = field(default_factory=deque)
    size: int = 0


class Lanes(Generic[Receipt]):
    """What waits, by lane."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[Receipt]] = {}

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[Waiting[Receipt]]:
        for lane in self._lanes.values():
            yield from lane.waiting

    def add(
        self, lane: str, event: SpoolEvent, spools: tuple[str, ...], receipt: Receipt, placed: Placed | None
    ) -> None:
        """Let an event wait."""
        chosen = self._lanes.setdefault(lane, _Lane())
        chosen.waiting.append(Waiting(event, spools, receipt, placed))
        chosen.size += size_of(event)

    def count(self, lane: str) -> int:
        """How many events of a lane wait."""
        return len(self._lanes[lane].waiting) if lane in self._lanes else 0

    def size(self, lane: str) -> int:
        """Memory that a lane's events take, in bytes, about."""
        return self._lanes[lane].size if lane in self._lanes else 0

    def revise(self, revised: Callable[[Receipt], Receipt | None]) -> None:
        """Change the receipts of what waits; what gets None is dropped: its sender will send it again."""
        for lane in self._lanes.values():
            kept: deque[Waiting[Receipt]] = deque()
            for item in lane.waiting:
                receipt = revised(item.receipt)
                if receipt is not None:
                    item.receipt = receipt
                    kept.append(item)
            lane.waiting, lane.size = kept, sum(size_of(item.event) for item in kept)

    def take_stored(self) -> list[Receipt]:
        """Remove from each lane's head what is wholly stored: receipts must not overtake each other."""
        receipts = []
        for lane in self._lanes.values():
            while lane.waiting and not lane.waiting[0].missing:
                item = lane.waiting.popleft()
                lane.size -= size_of(item.event)
                receipts.append(item.receipt)
        return receipts


def size_of(event: SpoolEvent) -> int:
    """About what an event takes in memory: a small one is mostly Python's objects around it."""
    return _OBJECT_BYTES + len(event.key) + len(event.value or b"") + len(event.headers or "")
