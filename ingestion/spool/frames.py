"""The spool on disk: segments of frames, one frame per group commit; a segment begins with its log's id.

Writing belongs to writer.py, reading to reader.py. Layout and guarantees: docs/delivery.md.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from crc32c import crc32c

from ingestion.durable import sync_folder
from ingestion.errors import StorageError
from ingestion.log.envelope import UTC_MICROSECONDS

SPOOL_SCHEMA = pa.schema(
    [
        pa.field("event_key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.string()),
        pa.field("event_time", UTC_MICROSECONDS),
    ]
)
"""What a frame's body holds, as one Arrow IPC record batch. A new schema is a new VERSION."""

MAGIC = b"MRSP"
VERSION = 1
LOG_ID_FILE = "log_id"
SEGMENT_SUFFIX = ".spool"
_FIELDS = struct.Struct("<4sHHQIII")  # magic, version, 0, first position, count, body length, body CRC
_CRC = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CRC.size
SEGMENT_HEADER_BYTES = 32


class SpoolCorrupt(StorageError):
    """A spool's bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame's header and place.

    Attributes:
        first: Position of its first event.
        count: Number of events.
        offset: Where its header begins in the segment, in bytes.
        body_bytes: Length of its body.
        body_crc: CRC-32C of its body.
    """

    first: int
    count: int
    offset: int
    body_bytes: int
    body_crc: int

    @property
    def next(self) -> int:
        """Position after its last event."""
        return self.first + self.count

    @property
    def body_offset(self) -> int:
        """Where its body begins in the segment."""
        return self.offset + HEADER_BYTES

    @property
    def end_offset(self) -> int:
        """Where the next frame begins in the segment."""
        return self.body_offset + self.body_bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """How far a segment is whole: the next frame would begin at `offset` and hold `position`.

    Attributes:
        last: Where its last frame begins; its header, while it has none.
    """

    offset: int
    position: int
    last: int = 0


def salt_of(log_id: str) -> int:
    """Start value of a log's header checksums: a payload cannot forge a frame, nor a foreign segment pass."""
    return int(crc32c(log_id.encode()))


def encode_frame(batch: pa.RecordBatch, *, first: int, salt: int) -> tuple[bytes, pa.Buffer]:
    """Header and body of the frame that holds `batch` (SPOOL_SCHEMA) from position `first` on."""
    body = batch.serialize()
    fields = _FIELDS.pack(MAGIC, VERSION, 0, first, batch.num_rows, body.size, crc32c(body))
    return fields + _CRC.pack(crc32c(fields, salt)), body


def decode_header(header: bytes, *, offset: int, salt: int) -> Frame | None:
    """The frame whose header these bytes begin with; None where they are none of this log."""
    if len(header) < HEADER_BYTES:
        return None
    magic, version, _, first, count, body_bytes, body_crc = _FIELDS.unpack_from(header)
    (crc,) = _CRC.unpack_from(header, _FIELDS.size)
    if magic != MAGIC or crc != crc32c(header[: _FIELDS.size], salt):
        return None
    if version != VERSION:
        raise StorageError(
            f"a spool frame has format version {version}, this release reads {VERSION}; use the newer release"
        )
    return Frame(first, count, offset, body_bytes, body_crc)


def decode_body(body: bytes, frame: Frame) -> pa.RecordBatch | None:
    """The frame's events without a copy; None where the checksum does not hold."""
    if len(body) != frame.body_bytes or crc32c(body) != frame.body_crc:
        return None
    return pa.ipc.read_record_batch(pa.py_buffer(body), SPOOL_SCHEMA)


def has_begun(fd: int, *, log_id: str, path: Path) -> bool:
    """Whether a segment holds its log's id; False where a crash came before it was written.

    Raises:
        SpoolCorrupt: It holds something else: it is damaged, or belongs to another log.
    """
    found = os.pread(fd, SEGMENT_HEADER_BYTES + 1, 0)
    if found[:SEGMENT_HEADER_BYTES] == log_id.encode():
        return True
    if len(found) > SEGMENT_HEADER_BYTES:
        raise corrupt(path, 0)
    return False


def begin_segment(path: Path, log_id: str) -> int:
    """Make a segment without frames, durably, in place of one that has none that counts.

    Returns:
        Its file descriptor; it is another file than the one that was there.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.pwrite(fd, log_id.encode(), 0)
        os.fdatasync(fd)
        new.replace(path)
        sync_folder(path.parent)
    except OSError:
        os.close(fd)
        raise
    return fd


def start_of(first: int) -> Tail:
    """Where the first frame of a segment goes."""
    return Tail(SEGMENT_HEADER_BYTES, first)


def scan(fd: int, tail: Tail, *, salt: int, path: Path, until: int | None = None) -> Tail:
    """Follow whole frames of the newest segment from `tail` on, checking each byte, at most to a position.

    What a crash tore off at the end is "not there yet"; it can only be one frame, because the next one
    is written after the fsync of the one before.

    Raises:
        SpoolCorrupt: A good frame follows a bad one.
    """
    while until is None or tail.position < until:
        header = os.pread(fd, HEADER_BYTES, tail.offset)
        if len(header) < HEADER_BYTES:
            return tail
        frame = decode_header(header, offset=tail.offset, salt=salt)
        if frame is None or frame.first != tail.position:
            break
        body = os.pread(fd, frame.body_bytes, frame.body_offset)
        if len(body) < frame.body_bytes:
            return tail
        if crc32c(body) != frame.body_crc:
            break
        tail = Tail(frame.end_offset, frame.next, frame.offset)
    else:
        return tail
    if _frame_follows(fd, tail, salt=salt):
        raise corrupt(path, tail.offset)
    return tail


def _frame_follows(fd: int, tail: Tail, *, salt: int) -> bool:
    rest = os.pread(fd, os.fstat(fd).st_size - tail.offset, tail.offset)
    at = rest.find(MAGIC, 1)
    while at >= 0:
        frame = decode_header(rest[at : at + HEADER_BYTES], offset=tail.offset + at, salt=salt)
        if frame is not None and frame.first > tail.position:
            return True
        at = rest.find(MAGIC, at + 1)
    return False


def corrupt(path: Path, offset: int) -> SpoolCorrupt:
    """The error for a bad frame: segment, offset and the way out."""
    return SpoolCorrupt(
        f"the spool segment {path} is damaged at byte {offset}; restore the file from a backup, or move the"
        f" folder {path.parent} aside to begin a new log without what is in it"
    )


def segment_path(folder: Path, first: int) -> Path:
    """The segment whose first event has this position."""
    return folder / f"{first:020d}{SEGMENT_SUFFIX}"


def segments(folder: Path) -> list[int]:
    """First positions of the folder's segments, oldest first."""
    stems = (
        name.removesuffix(SEGMENT_SUFFIX) for name in os.listdir(folder) if name.endswith(SEGMENT_SUFFIX)
    )
    return sorted(int(stem) for stem in stems if stem.isdigit())


def read_log_id(folder: Path) -> str | None:
    """The log's identity; None before its writer has made it."""
    try:
        return (folder / LOG_ID_FILE).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
