"""Group commit: events gather in memory, go to their streams' spools together, then count as safe.

Whom to tell that they are safe is the listener's business (collector.py), so receipts are opaque here.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from ingestion.errors import StorageError
from ingestion.faultpoints import faultpoint
from ingestion.spool.writer import SEGMENT_BYTES, SpoolEvent, SpoolWriter

_OBJECT_BYTES = 450
"""What an event without any content takes while it waits; measured with CPython 3.11."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much is taken in before the next commit, and how much may wait.

    Attributes:
        commit_events: Messages of one commit.
        commit_bytes: Payload bytes of one commit.
        commit_seconds: Longest time for which taking in may delay a commit.
        waiting_bytes: Bytes kept in memory while nothing can be committed, about.
        spool_max_bytes: Size of all spools, without each one's newest segment, from which on nothing is
            committed until some is trimmed.
        segment_bytes: Size from which on a spool segment is followed by a new one.
        blocked_seconds: Wait before a commit that was impossible is tried again.
    """

    commit_events: int = 4_096
    commit_bytes: int = 8 * 2**20
    commit_seconds: float = 0.02
    waiting_bytes: int = 64 * 2**20
    spool_max_bytes: int = 10 * 2**30
    segment_bytes: int = SEGMENT_BYTES
    blocked_seconds: float = 1.0


Receipt = TypeVar("Receipt")


@dataclass(slots=True)
class _Waiting(Generic[Receipt]):
    """An event and the streams whose spool does not hold it yet."""

    event: SpoolEvent
    missing: tuple[str, ...]
    receipt: Receipt


class Intake(Generic[Receipt]):
    """The spools of several streams and what waits to be written to them.

    Args:
        folder: Folder of all spools.
        streams: Their names.
        limits: Sizes and waits.

    Attributes:
        waiting_bytes: Memory that waiting events take, about.
        spool_bytes: Size of all spools, measured about once a second.
        error: Why nothing is committed at the moment; empty when all is well.

    Raises:
        StorageError: A spool cannot be opened.
        StreamBusy: Another process writes one of them.
    """

    def __init__(self, folder: Path, streams: Sequence[str], *, limits: Limits) -> None:
        self.waiting_bytes = 0
        self.spool_bytes = 0
        self._drainable_bytes = 0
        self.error = ""
        self._limits = limits
        self._waiting: deque[_Waiting[Receipt]] = deque()
        self._blocked_until = 0.0
        self._measured_at = float("-inf")
        self._spools: dict[str, SpoolWriter] = {}
        self._pool = ThreadPoolExecutor(min(len(streams), 4), thread_name_prefix="spool")
        try:
            for name in streams:
                self._spools[name] = SpoolWriter(folder / name, segment_bytes=limits.segment_bytes)
        except StorageError:
            self.close()
            raise

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._waiting)

    @property
    def overfull(self) -> bool:
        """Nothing more should be taken in before a commit succeeds."""
        return self.waiting_bytes >= self._limits.waiting_bytes

    @property
    def positions(self) -> dict[str, int]:
        """Stream → position up to which its spool is durable."""
        return {name: spool.durable for name, spool in self._spools.items()}

    def take(self, event: SpoolEvent, streams: tuple[str, ...], *, receipt: Receipt) -> None:
        """Let an event wait for the next commit; `commit` hands the receipt back once it is safe."""
        self._waiting.append(_Waiting(event, streams, receipt))
        self.waiting_bytes += _size(event)

    def revise(self, revised: Callable[[Receipt], Receipt | None]) -> None:
        """Change the receipts of what waits; what gets None is dropped: its sender will send it again."""
        waiting: deque[_Waiting[Receipt]] = deque()
        for item in self._waiting:
            receipt = revised(item.receipt)
            if receipt is not None:
                item.receipt = receipt
                waiting.append(item)
        self._waiting = waiting
        self.waiting_bytes = sum(_size(item.event) for item in waiting)

    def commit(self, *, at_once: bool = False) -> list[Receipt]:
        """Write what waits to its spools and make it durable.

        Args:
            at_once: Try even if it was impossible a moment ago.

        Returns:
            The receipts of all that is safe now, in the order of `take`. What could not be written waits on,
            and `error` says why.
        """
        now = time.monotonic()
        self._measure(now)
        if not self._waiting or (now < self._blocked_until and not at_once):
            return []
        if self._drainable_bytes >= self._limits.spool_max_bytes:
            self._block(
                f"the spools hold {self._drainable_bytes} of at most {self._limits.spool_max_bytes} bytes, so"
                " nothing more is acknowledged; find out why ingestion does not drain them"
            )
            return []
        failures = self._write()
        if failures:
            self._block(failures[0])
        else:
            self.error = ""
        return self._safe()

    def close(self) -> None:
        """Close the spools; what still waits is forgotten, unacknowledged."""
        self._pool.shutdown()
        for spool in self._spools.values():
            spool.close()

    def _write(self) -> list[str]:
        """One commit for each stream that has something to write; returns what went wrong."""
        faultpoint("intake.commit")
        events: dict[str, list[SpoolEvent]] = {}
        for item in self._waiting:
            for name in item.missing:
                events.setdefault(name, []).append(item.event)
        for name, batch in events.items():
            self._spools[name].append(batch)
        # The kernel merges flushes that run side by side, so several streams cost little more than one.
        run = self._pool.map if len(events) > 1 else map
        failures = dict(zip(events, run(self._commit_one, events), strict=True))
        for item in self._waiting:
            item.missing = tuple(name for name in item.missing if failures[name])
        return [failure for failure in failures.values() if failure]

    def _commit_one(self, name: str) -> str:
        try:
            self._spools[name].commit()
        except StorageError as error:
            return str(error)
        return ""

    def _safe(self) -> list[Receipt]:
        """Take the head of the queue that is wholly written: receipts must not overtake each other."""
        receipts = []
        while self._waiting and not self._waiting[0].missing:
            item = self._waiting.popleft()
            self.waiting_bytes -= _size(item.event)
            receipts.append(item.receipt)
        return receipts

    def _block(self, error: str) -> None:
        if not self.error:
            _log.error(error)
        self.error = error
        self._blocked_until = time.monotonic() + self._limits.blocked_seconds

    def _measure(self, now: float) -> None:
        if now - self._measured_at >= self._limits.blocked_seconds:
            self._measured_at = now
            sizes = [spool.measure() for spool in self._spools.values()]
            self.spool_bytes = sum(size for size, _ in sizes)
            self._drainable_bytes = sum(drainable for _, drainable in sizes)


def _size(event: SpoolEvent) -> int:
    """About what an event takes in memory: a small one is mostly Python's objects around it."""
    return _OBJECT_BYTES + len(event.key) + len(event.value or b"") + len(event.headers or "")
