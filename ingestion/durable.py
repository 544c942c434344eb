"""Writes that a power loss leaves whole: folders, and files that are replaced as a whole.

A new name is durable once its folder was flushed, what a file holds once the file was. A flush that failed
proves nothing when it is repeated, so what it was to prove is written again, into a new file.
"""

import os
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make names of files that were created, renamed or removed durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and the folders above it, where they are missing; what is made is durable.

    Args:
        folder: The folder.
        mode: Its permissions, where it is made. Folders above get the usual ones.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=mode, exist_ok=True)
    try:
        sync_folder(folder.parent)
    except OSError:
        with suppress(OSError):
            folder.rmdir()  # so that the next call makes it, and flushes its name
        raise


def replace_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a file as a whole and durably: after a power loss it has the old content or the new one.

    Args:
        path: The file; its folder is there.
        content: What it will hold.
        mode: Its permissions, where the umask allows them.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    os.replace(fresh, path)
    sync_folder(path.parent)
