"""The spool's reader: positions → Arrow tables, and trimming of what the lake holds.

Any number of processes may read while one writes (spool.py). Guarantees: docs/delivery.md.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from ingestion.durable import sync_folder
from ingestion.errors import LogTruncated, StorageError
from ingestion.log.port import Bounds
from ingestion.spool.frames import (
    HEADER_BYTES,
    SPOOL_SCHEMA,
    Frame,
    Tail,
    corrupt,
    decode_body,
    decode_header,
    has_begun,
    read_log_id,
    salt_of,
    scan,
    segment_path,
    segments,
    start_of,
)
from ingestion.spool.lanes import Place
from ingestion.spool.mark import FrameMark
from ingestion.spool.published import read_published

CHUNK_EVENTS = 65_536
CHUNK_BYTES = 16 * 2**20

OlderSegments = Literal["older segments"]
"""The place before the newest segment."""


class Stretch(NamedTuple):
    """Events that follow each other.

    Attributes:
        log_id: The log's identity.
        first: Position of the first one (the spool's own).
        events: Of SPOOL_SCHEMA.
    """

    log_id: str
    first: int
    events: pa.Table


class SpoolReader:
    """Reads one stream's spool folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fd = -1
        self._scanned: tuple[str, int] = ("", -1)
        self._tail = Tail(0, 0)

    def bounds(self) -> Bounds | None:
        """What the spool holds durably now; None before anything was collected.

        Only what was added to the newest segment since the last call is read. It counts as far as its writer
        vouches for it (published.py), so that a power loss cannot leave the lake ahead of the spool.

        Raises:
            SpoolCorrupt: The newest segment is damaged.
            StorageError: The folder cannot be read.
        """
        with _readable(self.folder):
            log_id = read_log_id(self.folder)
            found = segments(self.folder) if log_id else []
            if not log_id or not found:
                return None
            end = self._durable_end(log_id, found[-1])
            return Bounds(found[0], end, log_id, proof=self._mark(log_id, found[-1], end=end))

    def holds(self, mark: FrameMark) -> bool:
        """Whether a frame is where it was: then everything before it is what it was, too.

        Raises:
            StorageError: The folder cannot be read.
        """
        with _readable(self.folder):
            log_id = read_log_id(self.folder) or ""
            try:
                fd = os.open(segment_path(self.folder, mark.segment), os.O_RDONLY)
            except FileNotFoundError:
                return False
            try:
                at = mark.frame.offset
                header = os.pread(fd, HEADER_BYTES, at)
            finally:
                os.close(fd)
        return decode_header(header, offset=at, salt=salt_of(log_id)) == mark.frame

    def kept(self, *, after: Place | OlderSegments | None) -> Iterator[Stretch]:
        """Yield what is durable, in its order; then let go of the files.

        Args:
            after: Only what follows it. After `older segments` comes the newest one, which is never trimmed.
                None, or a place in another log: all that is there.

        Raises:
            SpoolCorrupt: A segment is damaged.
            StorageError: The folder cannot be read.
        """
        bounds = self.bounds()
        if bounds is not None:
            start = bounds.begin
            if after == "older segments":
                with _readable(self.folder):
                    start = segments(self.folder)[-1]
            elif after is not None and after.log_id == bounds.log_id:
                start = min(max(after.position + 1, start), bounds.end)
            for first, events in self.read(start, bounds.end):
                yield Stretch(bounds.log_id, first, events)
        self.close()

    def read(
        self, start: int, end: int, *, chunk_events: int = CHUNK_EVENTS, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield (first position, events of SPOOL_SCHEMA) from start up to, not including, end.

        Args:
            start: First position wanted.
            end: Position after the last one wanted.
            chunk_events: A table is yielded once it has this many rows …
            chunk_bytes: … or this many bytes; one commit may exceed both.

        Raises:
            LogTruncated: The spool does not hold all of these positions.
            SpoolCorrupt: A segment is damaged or missing.
        """
        bounds = self.bounds()
        if bounds is None or start < bounds.begin or end > bounds.end:
            holds = f"{bounds.begin} to {bounds.end}" if bounds else "nothing"
            raise LogTruncated(
                f"the spool {self.folder} holds {holds}, not {start} to {end};"
                " find out who removed its segments and restore them from a backup"
            )
        batches: list[pa.RecordBatch] = []
        first, rows, size = start, 0, 0
        for frame, batch in self._frames(start, end, log_id=bounds.log_id):
            skip = max(start - frame.first, 0)
            batches.append(batch.slice(skip, min(end, frame.next) - frame.first - skip))
            rows, size = rows + batches[-1].num_rows, size + frame.body_bytes
            if rows >= chunk_events or size >= chunk_bytes:
                yield first, pa.Table.from_batches(batches, SPOOL_SCHEMA).combine_chunks()
                batches, first, rows, size = [], first + rows, 0, 0
        if batches:
            yield first, pa.Table.from_batches(batches, SPOOL_SCHEMA).combine_chunks()

    def trim(self, below: int) -> int:
        """Delete the segments that lie wholly below a position; the newest always stays.

        Returns:
            How many were deleted.
        """
        with _readable(self.folder):
            found = segments(self.folder) if self.folder.is_dir() else []
            old = [first for first, following in pairwise(found) if following <= below]
            for first in old:
                segment_path(self.folder, first).unlink(missing_ok=True)
                sync_folder(self.folder)  # one by one: a power loss leaves no gap between segments
            return len(old)

    def close(self) -> None:
        """Let go of the newest segment's file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._scanned = ("", -1)

    def _durable_end(self, log_id: str, newest: int) -> int:
        path = segment_path(self.folder, newest)
        published = read_published(self.folder, log_id)
        if self._scanned != (log_id, newest) or os.fstat(self._fd).st_ino != path.stat().st_ino:
            self.close()
            self._fd = os.open(path, os.O_RDONLY)
            self._tail = start_of(newest)
            sync_folder(self.folder)
            self._scanned = (log_id, newest)
        if not has_begun(self._fd, log_id=log_id, path=path):
            return newest
        if os.fstat(self._fd).st_size < self._tail.offset:
            self._tail = start_of(newest)
        tail = scan(self._fd, self._tail, salt=salt_of(log_id), path=path, until=published)
        if published is not None:
            self._tail = tail
            return max(min(tail.position, published), newest)
        if tail != self._tail:
            os.fdatasync(self._fd)
            self._tail = tail
        return tail.position

    def _mark(self, log_id: str, segment: int, *, end: int) -> str:
        """What an end is known by: the frame before it, where that is in the newest segment."""
        at = self._tail.last
        if not at or self._tail.position != end:
            return ""
        frame = decode_header(os.pread(self._fd, HEADER_BYTES, at), offset=at, salt=salt_of(log_id))
        return str(FrameMark(segment, frame, end)) if frame else ""

    def _frames(self, start: int, end: int, *, log_id: str) -> Iterator[tuple[Frame, pa.RecordBatch]]:
        with _readable(self.folder):
            found = segments(self.folder)
        for index in range(max(bisect_right(found, start) - 1, 0), len(found)):
            if found[index] >= end:
                return
            limit = found[index + 1] if index + 1 < len(found) else None
            yield from self._frames_of(found[index], start, end, limit=limit, log_id=log_id)

    def _frames_of(
        self, segment: int, start: int, end: int, *, limit: int | None, log_id: str
    ) -> Iterator[tuple[Frame, pa.RecordBatch]]:
        """The wanted frames of one segment, which has to end where the next one (`limit`) begins."""
        path = segment_path(self.folder, segment)
        with _readable(self.folder):
            fd = os.open(path, os.O_RDONLY)
        try:
            tail = start_of(segment)
            if not has_begun(fd, log_id=log_id, path=path):
                raise corrupt(path, 0)
            salt = salt_of(log_id)
            while tail.position < end and tail.position != limit:
                frame = decode_header(os.pread(fd, HEADER_BYTES, tail.offset), offset=tail.offset, salt=salt)
                if frame is None or frame.first != tail.position:
                    raise corrupt(path, tail.offset)
                if frame.next > start:
                    batch = decode_body(os.pread(fd, frame.body_bytes, frame.body_offset), frame)
                    if batch is None:
                        raise corrupt(path, tail.offset)
                    yield frame, batch
                tail = Tail(frame.end_offset, frame.next)
        except OSError as error:
            raise _unreadable(self.folder, error) from None
        finally:
            os.close(fd)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the spool of '{folder.name}' in {folder} cannot be read ({error.strerror or error});"
        " look at that disk and at the folder's permissions"
    )
