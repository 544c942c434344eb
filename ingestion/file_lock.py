"""A lock file that one process holds; the kernel lets go of it when that process ends, however it ends."""

import fcntl
import os
from pathlib import Path

from ingestion.errors import StreamBusy


def lock_file(path: Path, *, what: str) -> int:
    """Take the lock without waiting.

    Args:
        path: The lock file; made when missing. It names its holder.
        what: What is locked, as the subject of the error's sentence.

    Returns:
        A file descriptor; closing it lets go.

    Raises:
        StreamBusy: Another process holds it; says which.
        OSError: The file cannot be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()}".encode(), 0)
    except BlockingIOError:
        holder = os.pread(fd, 64, 0).decode(errors="replace") or "another process"
        os.close(fd)
        raise StreamBusy(f"{what} is in use by {holder}; stop that one first") from None
    except OSError:
        os.close(fd)
        raise
    return fd
