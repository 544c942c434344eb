"""Group commit: events gather in memory, go to their streams' spools together, then count as safe.

Each spool stops by itself: what is damaged, full or not writable holds up its own lane (lanes.py). Whom to
tell that events are safe is the listener's business (collector.py), so receipts are opaque here.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import structlog

from ingestion.errors import MillraceError, StorageError
from ingestion.faultpoints import faultpoint
from ingestion.spool.lanes import Lanes, Receipt
from ingestion.spool.writer import SEGMENT_BYTES, SpoolEvent, SpoolWriter

_LEAST_WAITING_BYTES = 2**20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much is taken in before the next commit, and how much may wait.

    Attributes:
        commit_events: Messages of one commit.
        commit_bytes: Payload bytes of one commit.
        commit_seconds: Longest time for which taking in may delay a commit.
        waiting_bytes: Bytes kept in memory while nothing can be committed, about; each lane has an equal
            share of it, and 1 MiB at least.
        spool_max_bytes: Size of a stream's spool, without its newest segment, from which on nothing more is
            written to it until some is trimmed.
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


class _Spool:
    """One spool and what keeps it from being written.

    Attributes:
        name: The stream's.
        writer: None before it was opened.
        size: Of all segments, in bytes.
        error: Why nothing is written at the moment; empty when all is well.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.name = folder.name
        self.writer: SpoolWriter | None = None
        self.size = 0
        self.error = ""
        self._folder, self._limits = folder, limits
        self._drainable = 0
        self._blocked_until = 0.0

    def open(self) -> None:
        """Open it; one that cannot be opened now is tried again later."""
        if self.writer is None:
            try:
                self.writer = SpoolWriter(self._folder, segment_bytes=self._limits.segment_bytes)
                self.error = ""
                self.measure()
            except MillraceError as error:
                self.block(str(error))

    def measure(self) -> None:
        """Look how large it is; one that could not be opened may be in order by now."""
        if self.error:
            self.open()
        if self.writer is not None:
            self.size, self._drainable = self.writer.measure()

    def is_ready(self, now: float, *, at_once: bool) -> bool:
        """Whether a commit may be tried."""
        if now < self._blocked_until and not at_once:
            return False
        self.open()
        if self.writer is not None and self._drainable >= self._limits.spool_max_bytes:
            self.block(
                f"the spool of '{self.name}' holds {self._drainable} of at most "
                f"{self._limits.spool_max_bytes} bytes, so nothing more is acknowledged of it; find out why "
                "ingestion does not drain it"
            )
            return False
        return self.writer is not None

    def commit(self, events: Sequence[SpoolEvent]) -> bool:
        """Write events and make them durable; returns whether they are."""
        if self.writer is None:
            return False
        try:
            self.writer.append(events)
            self.writer.commit()
        except StorageError as error:
            self.block(str(error))
            return False
        self.error = ""
        return True

    def block(self, error: str) -> None:
        """Write nothing for a while, and say why."""
        if error != self.error:
            _log.error(error)
        self.error = error
        self._blocked_until = time.monotonic() + self._limits.blocked_seconds

    def close(self) -> None:
        """Close it; what was not committed is forgotten."""
        if self.writer is not None:
            self.writer.close()


class Intake(Generic[Receipt]):
    """The spools of several streams and what waits to be written to them.

    Args:
        folder: Folder of all spools.
        streams: Their names.
        limits: Sizes and waits.
        unrouted: The spool for what no stream takes; made when there is something for it.
    """

    def __init__(self, folder: Path, streams: Sequence[str], *, limits: Limits, unrouted: str) -> None:
        self._limits = limits
        self._lanes: Lanes[Receipt] = Lanes()
        self._lane_bytes = max(limits.waiting_bytes // len(streams), _LEAST_WAITING_BYTES)
        self._measured_at = float("-inf")
        self._spools = {name: _Spool(folder / name, limits) for name in (*streams, unrouted)}
        self._streams, self._unrouted = tuple(streams), unrouted
        self._pool = ThreadPoolExecutor(min(len(streams), 4), thread_name_prefix="spool")
        for name, spool in self._spools.items():
            if name != unrouted or (folder / name).is_dir():
                spool.open()

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._lanes)

    @property
    def errors(self) -> dict[str, str]:
        """Spool → why nothing is written to it at the moment; only those with a reason."""
        return {name: spool.error for name, spool in self._spools.items() if spool.error}

    @property
    def spool_bytes(self) -> int:
        """Size of all spools, measured about once a second."""
        return sum(spool.size for spool in self._spools.values())

    @property
    def positions(self) -> dict[str, int]:
        """Stream → position up to which its spool is durable; 0 for one that could not be opened."""
        found = {name: self._spools[name].writer for name in self._streams}
        return {name: writer.durable if writer else 0 for name, writer in found.items()}

    @property
    def unrouted(self) -> SpoolWriter | None:
        """The spool of what no stream takes; None as long as there is none."""
        return self._spools[self._unrouted].writer

    def is_overfull(self, lane: str) -> bool:
        """Nothing more should be taken into a lane before some of it is stored."""
        return self._lanes.size(lane) >= self._lane_bytes

    def waiting_of(self, lane: str) -> int:
        """How many events of a lane wait."""
        return self._lanes.count(lane)

    def take(self, event: SpoolEvent, streams: tuple[str, ...], *, receipt: Receipt, lane: str) -> None:
        """Let an event wait for the next commit; `commit` hands the receipt back once it is safe."""
        self._lanes.add(lane, event, streams or (self._unrouted,), receipt)

    def revise(self, revised: Callable[[Receipt], Receipt | None]) -> None:
        """Change the receipts of what waits; what gets None is dropped: its sender will send it again."""
        self._lanes.revise(revised)

    def commit(self, *, at_once: bool = False) -> list[Receipt]:
        """Write what waits to its spools and make it durable.

        Args:
            at_once: Try even if it was impossible a moment ago.

        Returns:
            The receipts of all that is safe now, of each lane in the order of `take`. What could not be
            written waits on, and `errors` says why.
        """
        now = time.monotonic()
        self._measure(now)
        ready = {name: spool.is_ready(now, at_once=at_once) for name, spool in self._wanted().items()}
        events: dict[str, list[SpoolEvent]] = {}
        for item in self._lanes:
            for name in item.missing:
                if ready[name]:
                    events.setdefault(name, []).append(item.event)
        if events:
            self._write(events)
        return self._lanes.take_stored()

    def close(self) -> None:
        """Close the spools; what still waits is forgotten, unacknowledged."""
        self._pool.shutdown()
        for spool in self._spools.values():
            spool.close()

    def _wanted(self) -> dict[str, _Spool]:
        """The spools that something waits for."""
        return {name: self._spools[name] for item in self._lanes for name in item.missing}

    def _write(self, events: dict[str, list[SpoolEvent]]) -> None:
        """One commit for each spool that has something to write."""
        faultpoint("intake.commit")
        # The kernel merges flushes that run side by side, so several streams cost little more than one.
        run = self._pool.map if len(events) > 1 else map
        stored = dict(zip(events, run(self._commit_one, events.items()), strict=True))
        for item in self._lanes:
            item.missing = tuple(name for name in item.missing if not stored.get(name))

    def _commit_one(self, batch: tuple[str, list[SpoolEvent]]) -> bool:
        name, events = batch
        return self._spools[name].commit(events)

    def _measure(self, now: float) -> None:
        if now - self._measured_at >= self._limits.blocked_seconds:
            self._measured_at = now
            for spool in self._spools.values():
                spool.measure()
