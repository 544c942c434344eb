"""Up to where a spool's writer vouches for it: a small file beside the segments, for readers.

What a reader sees in a file may be in memory only: the flush of it may be under way, or may have failed, and
then a second flush succeeds without bringing it to the disk. So the writer publishes each position that it
has proven. The file itself is not flushed: it holds until the machine starts again, when memory is empty and
whatever is read comes from the disk.
"""

import os
import struct
import uuid
from functools import cache
from pathlib import Path

from crc32c import crc32c

PUBLISHED_FILE = "published"
_FIELDS = struct.Struct("<16s32sQ")  # start of the machine, log id, position
_CRC = struct.Struct("<I")
_TRIES = 1_000


class Publisher:
    """Writes the file.

    Args:
        folder: The spool's folder.
        log_id: The log's identity.
    """

    def __init__(self, folder: Path, log_id: str) -> None:
        self._log_id = log_id
        self._fd = os.open(folder / PUBLISHED_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def publish(self, position: int) -> None:
        """Vouch for everything below a position."""
        fields = _FIELDS.pack(machine_start().bytes, self._log_id.encode(), position)
        os.pwrite(self._fd, fields + _CRC.pack(crc32c(fields)), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def read_published(folder: Path, log_id: str) -> int | None:
    """Up to where the writer vouches for a log.

    Returns:
        The position; None where nobody has written this log since the machine started: then whatever can be
        read was read from the disk.
    """
    for _ in range(_TRIES):  # the writer may be writing it
        try:
            content = (folder / PUBLISHED_FILE).read_bytes()
        except FileNotFoundError:
            return None
        fields, crc = content[: _FIELDS.size], content[_FIELDS.size :]
        if len(crc) == _CRC.size and _CRC.unpack(crc) == (crc32c(fields),):
            start, log, position = _FIELDS.unpack(fields)
            ours = (start, log) == (machine_start().bytes, log_id.encode())
            return int(position) if ours else None
    return None


@cache
def machine_start() -> uuid.UUID:
    """Names this start of the machine: another one after each.

    Where only Linux knows it, each process has a name of its own: nobody believes another one's word then.
    """
    try:
        return uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    except OSError:
        return uuid.uuid4()
