"""One spool and what keeps it from being written: a limit, damage, a disk. Said once, and tried again.

Which events wait for it is intake.py's business.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from ingestion.errors import MillraceError, StorageError
from ingestion.spool.writer import SEGMENT_BYTES, SpoolEvent, SpoolWriter

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


@dataclass(frozen=True)
class Held:
    """Why nothing is stored for a stream at the moment.

    Attributes:
        reason: One sentence with the remedy.
        is_full: Its spool has reached its limit, which ends by itself once ingestion drains it; else it is
            damaged, or cannot be written.
    """

    reason: str
    is_full: bool


class GuardedSpool:
    """One spool and what keeps it from being written.

    Attributes:
        name: The stream's.
        writer: None before it was opened.
        size: Of all segments, in bytes.
        error: Why nothing is written at the moment; empty when all is well.
        is_full: The reason is its size.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.name = folder.name
        self.writer: SpoolWriter | None = None
        self.size = 0
        self.error = ""
        self.is_full = False
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
        """Look how large it is; one that could not be opened, or was full, may be in order by now."""
        if self.error:
            self.open()
        if self.writer is not None:
            self.size, self._drainable = self.writer.measure()
            if self.is_full and self._drainable < self._limits.spool_max_bytes:
                self.error, self.is_full = "", False

    def is_ready(self, now: float, *, at_once: bool) -> bool:
        """Whether a commit may be tried."""
        if now < self._blocked_until and not at_once:
            return False
        self.open()
        if self.writer is not None and self._drainable >= self._limits.spool_max_bytes:
            self.block(
                f"the spool of '{self.name}' holds {self._drainable} of at most "
                f"{self._limits.spool_max_bytes} bytes, so nothing more is acknowledged of it; find out why "
                "ingestion does not drain it",
                is_full=True,
            )
            return False
        return self.writer is not None

    def commit(self, events: Sequence[SpoolEvent]) -> int | None:
        """Write events and make them durable; returns the first one's position, None where they are not."""
        if self.writer is None:
            return None
        try:
            positions = self.writer.append(events)
            self.writer.commit()
        except StorageError as error:
            self.block(str(error))
            return None
        self.error, self.is_full = "", False
        return positions.start

    def block(self, error: str, *, is_full: bool = False) -> None:
        """Write nothing for a while, and say why."""
        if error != self.error:
            _log.error(error)
        self.error, self.is_full = error, is_full
        self._blocked_until = time.monotonic() + self._limits.blocked_seconds

    def close(self) -> None:
        """Close it; what was not committed is forgotten."""
        if self.writer is not None:
            self.writer.close()
