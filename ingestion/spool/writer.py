"""The spool's writer: a durable, append-only log for sources that cannot be read twice.

An event is acknowledged to its sender after `commit` has returned, not before. Reading and trimming
belong to reader.py, the bytes to frames.py. Guarantees: docs/delivery.md.
"""

import os
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import structlog

from ingestion.durable import make_folder, replace_file, sync_folder
from ingestion.errors import StorageError
from ingestion.faultpoints import faultpoint
from ingestion.file_lock import lock_file
from ingestion.spool.frames import (
    LOG_ID_FILE,
    SEGMENT_HEADER_BYTES,
    SPOOL_SCHEMA,
    SpoolCorrupt,
    Tail,
    begin_segment,
    encode_frame,
    has_begun,
    read_log_id,
    salt_of,
    scan,
    segment_path,
    segments,
    start_of,
)
from ingestion.spool.published import Publisher

SEGMENT_BYTES = 32 * 2**20
_LOCK_FILE = "writer.lock"

_log = structlog.get_logger(__name__)


class SpoolEvent(NamedTuple):
    """One event as it came.

    Attributes:
        key: Topic, routing key or the like.
        value: Payload bytes; None where there is no payload at all.
        headers: JSON object text, or None.
        received_us: When it was received, microseconds since 1970 UTC.
    """

    key: bytes
    value: bytes | None
    headers: str | None
    received_us: int


class SpoolWriter:
    """The one writer of a spool folder; it makes the folder and cuts what a crash tore off.

    Args:
        folder: One stream's spool; its name is used in messages.
        segment_bytes: A segment that has reached this size is followed by a new one.

    Raises:
        StreamBusy: Another process is writing it.
        SpoolCorrupt: Acknowledged events cannot be read back.
        StorageError: The folder cannot be written.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._pending: list[SpoolEvent] = []
        self._fd = -1
        self._torn = self._unproven = False
        self._publisher: Publisher | None = None
        self._published = -1
        try:
            make_folder(folder)
            self._lock = lock_file(folder / _LOCK_FILE, what=f"the spool of '{folder.name}' in {folder}")
        except OSError as error:
            raise _unwritable(folder, error) from None
        try:
            self.log_id = _open_log(folder)
            self._salt = salt_of(self.log_id)
            self._tail = self._recover()
            self._publisher = Publisher(folder, self.log_id)
            self._publish()
        except OSError as error:
            self.close()
            raise _unwritable(folder, error) from None
        except StorageError:
            self.close()
            raise

    @property
    def position(self) -> int:
        """The position that the next appended event gets."""
        return self._tail.position + len(self._pending)

    @property
    def durable(self) -> int:
        """The position up to which everything has been committed."""
        return self._tail.position

    @property
    def first(self) -> int:
        """The oldest position that is still kept."""
        return segments(self.folder)[0]

    def measure(self) -> tuple[int, int]:
        """Bytes of all segments, and of those that trimming could free: all but the newest."""
        sizes = []
        for first in segments(self.folder):
            with suppress(FileNotFoundError):
                sizes.append(segment_path(self.folder, first).stat().st_size)
        return sum(sizes), sum(sizes[:-1])

    def append(self, events: Iterable[SpoolEvent]) -> range:
        """Add events to the next commit, in memory.

        Returns:
            The positions they have once `commit` returns.
        """
        first = self.position
        self._pending.extend(events)
        return range(first, self.position)

    def commit(self) -> int:
        """Write what was appended as one frame and wait until it is durable.

        Returns:
            The position up to which everything is durable.

        Raises:
            StorageError: Disk full or broken. Nothing of this commit is in the log; append it again.
        """
        events, self._pending = self._pending, []
        if not events:
            self._publish()
            return self.durable
        keys, values, headers, times = zip(*events, strict=True)
        columns = (keys, values, headers, times)
        batch = pa.record_batch(
            [pa.array(c, f.type) for c, f in zip(columns, SPOOL_SCHEMA, strict=True)], schema=SPOOL_SCHEMA
        )
        try:
            if self._torn:
                self._cut()
            if self._unproven or self._tail.offset >= self._segment_bytes:
                self._roll()
            header, body = encode_frame(batch, first=self.durable, salt=self._salt)
            self._torn = True
            _write_all(self._fd, [header, body], offset=self._tail.offset)
            faultpoint("spool.written")
            self._flush()
        except OSError as error:
            with suppress(OSError):
                self._cut()
            raise _unwritable(self.folder, error) from None
        self._torn = False
        begin = self._tail.offset
        self._tail = Tail(begin + len(header) + body.size, self.durable + len(events), begin)
        faultpoint("spool.durable")
        self._publish()
        return self.durable

    def close(self) -> None:
        """Let go of the file and the lock. What was appended and not committed is forgotten."""
        self._pending = []
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _recover(self) -> Tail:
        """Open the newest segment, cut the frame that a crash tore off, and prove what is left.

        All frames but the last were flushed before the next one was written. Of the last nobody knows:
        its flush may have failed, and another one would succeed without it. So it is written once more.
        """
        first = segments(self.folder)[-1]
        path = segment_path(self.folder, first)
        self._fd = os.open(path, os.O_RDWR)
        if not has_begun(self._fd, log_id=self.log_id, path=path):
            os.close(self._fd)
            self._fd = begin_segment(path, self.log_id)
        self._tail = scan(self._fd, start_of(first), salt=self._salt, path=path)
        torn_bytes = os.fstat(self._fd).st_size - self._tail.offset
        if torn_bytes:
            _log.warning("cut an unfinished commit", segment=str(path), bytes=torn_bytes)
            self._cut()
        last = os.pread(self._fd, self._tail.offset - self._tail.last, self._tail.last)
        _write_all(self._fd, [last], offset=self._tail.last)
        os.fdatasync(self._fd)
        for folder in (self.folder, *self.folder.parents[:2]):  # also those that a killed writer has made
            sync_folder(folder)
        return self._tail

    def _flush(self) -> None:
        """Make the frame durable. Where that fails nothing more is written behind it: see `_roll`."""
        try:
            os.fdatasync(self._fd)
        except OSError:
            self._unproven = True
            raise

    def _publish(self) -> None:
        if self._publisher is not None and self._published != self.durable:
            with suppress(OSError):  # readers wait until the next commit, then
                self._publisher.publish(self.durable)
                self._published = self.durable

    def _cut(self) -> None:
        os.ftruncate(self._fd, self._tail.offset)
        self._torn = False

    def _roll(self) -> None:
        """Continue in a new segment, named by the position that it begins with.

        Whatever follows that position in the old one counts no more, be it on the disk or not.
        """
        fd = begin_segment(segment_path(self.folder, self.durable), self.log_id)
        os.close(self._fd)
        self._fd, self._tail = fd, start_of(self.durable)
        self._torn = self._unproven = False


def _open_log(folder: Path) -> str:
    """The log's identity. The first segment is made before it, so an identity without one is a lost log."""
    found, log_id = segments(folder), read_log_id(folder)
    if log_id and found:
        return log_id
    if found and (len(found) > 1 or segment_path(folder, found[0]).stat().st_size > SEGMENT_HEADER_BYTES):
        raise SpoolCorrupt(
            f"{folder / LOG_ID_FILE} is missing beside the segments it belongs to; restore the file from a"
            " backup, or move the folder aside to begin a new log without what is in it"
        )
    if log_id:
        _log.warning("the spool's segments are gone; a new log begins", folder=str(folder), lost=log_id)
        (folder / LOG_ID_FILE).unlink()
    log_id = uuid.uuid4().hex
    os.close(begin_segment(segment_path(folder, found[0] if found else 0), log_id))
    replace_file(folder / LOG_ID_FILE, log_id.encode("ascii"))
    return log_id


def _write_all(fd: int, content: Sequence[bytes | pa.Buffer], *, offset: int) -> None:
    parts = [memoryview(each) for each in content]
    while parts:
        written = os.pwritev(fd, parts, offset)
        offset += written
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if written:
            parts[0] = parts[0][written:]


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the spool of '{folder.name}' in {folder} cannot be written ({error.strerror or error});"
        " free or repair that disk, nothing unwritten was acknowledged"
    )
