"""Files of a backup: brought to another place whole and durable, and for their owner alone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingestion.durable import sync_folder
from ingestion.errors import BackupError, StorageError


def place(source: Path, target: Path, *, size: int, twin: Path | None, link: bool = True) -> bool:
    """Bring a file that never changes to another place: a hard link where that works, else a copy.

    Args:
        source: The file.
        target: Where it goes; replaced.
        size: Bytes that it has to have.
        twin: The same file near the target, if there is one.
        link: Whether it may share its bytes with the source.

    Returns:
        Whether it was copied.
    """
    require(source, size, remedy="the file is damaged, 'millrace verify' counts what is left")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    for near in (twin, source) if link else ():
        if near is not None and near.is_file() and near.stat().st_size == size:
            try:
                os.link(near, target)
            except OSError:  # another file system, or one without links
                continue
            if near is source:
                _flush(target)
            if is_private(source.parent):
                target.chmod(0o600)
            return False
    with source.open("rb") as reading, open(target, "wb", opener=_privately) as writing:
        shutil.copyfileobj(reading, writing, 2**20)
        writing.flush()
        os.fsync(writing.fileno())
    return True


def is_private(folder: Path) -> bool:
    """Whether only its owner, and root, can enter a folder."""
    return any(not each.stat().st_mode & 0o077 for each in (folder, *folder.parents))


def require(path: Path, size: int, *, remedy: str) -> None:
    """Raise BackupError unless a file is there and has so many bytes."""
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        what = "is missing" if found is None else f"has {found:,} bytes and not {size:,}"
        raise BackupError(f"{path} {what}: {remedy}")


def seal(folder: Path) -> None:
    """Make a folder durable and private, with all files in it that have no other name; `place` did those."""
    for root, _, names in os.walk(folder):
        for path in (Path(root) / name for name in names):
            if path.stat().st_nlink == 1:
                path.chmod(0o600)
                _flush(path)
        Path(root).chmod(0o700)
        sync_folder(Path(root))


def sync_folders(folder: Path) -> None:
    """Make the names of everything below a folder durable."""
    for root, _, _ in os.walk(folder):
        sync_folder(Path(root))


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def as_sentence(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into an error of one sentence."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or folder} cannot be written or read ({error.strerror or error}): make room "
            "or correct its permissions, then say it again"
        ) from None
