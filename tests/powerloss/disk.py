"""A disk that loses power: it notes what was flushed, and makes folders as a power loss may leave them.

The files are real and so is the code that writes them. While `recording` is open, each flush of a file or
folder below the root is noted. Whatever else is there was never flushed: after a power loss it is there,
gone, torn or zeros. Files and folders are known by inode; an open descriptor keeps it from a second use.
"""

import errno
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PAGE = 4096
_SECTOR = 512

Entries = dict[str, int]
"""Name in a folder → inode."""


class Disk:
    """The disk below a folder.

    Args:
        root: What is in it now is on the disk already.

    Attributes:
        on_flush: Called before and after each flush, with "before" or "after"; the power may fail there.
        flushes: How many were asked for.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.on_flush: Callable[[str], None] = lambda when: None
        self.flushes = 0
        self._failing: set[int] = set()
        self._known: dict[int, int] = {}
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, Entries] = {}
        self._failed: dict[int, bytes] = {}
        self._written: dict[int, set[int]] = {}
        self._top = self._take_in(root)

    def fail(self, *numbers: int) -> None:
        """Let the flushes with these numbers, counted from the next one as 0, fail with EIO, once each.

        As Linux does it, what was written before is clean in the page cache then and not on the disk: no
        later flush brings it there, unless it is written again.
        """
        self._failing |= {self.flushes + number for number in numbers}

    def flush(self, fd: int, real: Callable[[int], None]) -> None:
        """What a flush of a descriptor does instead of `real`, which it still does for other folders."""
        if not Path(os.readlink(f"/proc/self/fd/{fd}")).is_relative_to(self._root):
            real(fd)
            return
        self.on_flush("before")
        number, self.flushes = self.flushes, self.flushes + 1
        inode = self._keep(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            if number in self._failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._folders[inode] = self._live_entries(fd)
        else:
            content = _content(fd)
            if number in self._failing:
                self._failed[inode] = content
                self._written.pop(inode, None)
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._files[inode] = self._reached(inode, content)
        self.on_flush("after")

    def wrote(self, fd: int, offset: int, size: int) -> None:
        """Note that bytes were written, be they the same as before: they are on the way to the disk again."""
        pages = range(offset // PAGE, (offset + size - 1) // PAGE + 1)
        self._written.setdefault(os.fstat(fd).st_ino, set()).update(pages)

    def forget(self, folder: Path) -> None:
        """Take the files below a folder as never flushed."""
        for path in folder.rglob("*"):
            if path.is_file():
                self._files.pop(path.stat().st_ino, None)

    def lose_power(self, target: Path, chance: random.Random | None) -> None:
        """Make a folder as it may be found afterwards.

        Args:
            target: The folder; must not exist.
            chance: Decides what of the rest is there; None: nothing that was not flushed.
        """
        self._make(self._top, os.open(self._root, os.O_RDONLY), target, chance)

    def close(self) -> None:
        """Let go of every inode."""
        for fd in self._known.values():
            os.close(fd)
        self._known.clear()

    def _reached(self, inode: int, content: bytes) -> bytes:
        """What a successful flush brings to the disk: all, but for what an earlier failed one has dropped."""
        failed = self._failed.get(inode)
        if failed is None:
            return content
        before, result = self._files.get(inode, b""), bytearray()
        for page in range(-(-len(content) // PAGE)):
            part = slice(page * PAGE, (page + 1) * PAGE)
            again = page in self._written.get(inode, ()) or content[part] != failed[part]
            here = content[part]
            result += here if again else before[part].ljust(len(here), b"\0")[: len(here)]
        return bytes(result)

    def _take_in(self, path: Path) -> int:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            inode = self._keep(fd)
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                paths = [path / name for name in os.listdir(fd)]
                known = {each.name: self._take_in(each) for each in paths if not each.is_symlink()}
                self._folders[inode] = known
            else:
                self._files[inode] = _content(fd)
        finally:
            os.close(fd)
        return inode

    def _keep(self, fd: int) -> int:
        inode = os.fstat(fd).st_ino
        if inode not in self._known:
            self._known[inode] = os.dup(fd)
        return inode

    def _live_entries(self, folder: int) -> Entries:
        entries = {}
        for name in os.listdir(folder):
            with suppress(OSError):  # a socket
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
                entries[name] = self._keep(fd)
                os.close(fd)
        return entries

    def _make(self, inode: int, live: int, target: Path, chance: random.Random | None) -> None:
        """Make one file or folder; `live` is a descriptor of it, which is closed."""
        try:
            if stat.S_ISDIR(os.fstat(live).st_mode):
                target.mkdir()
                flushed = self._folders.get(inode, {})
                now = self._live_entries(live) if chance else {}
                for name in sorted(flushed.keys() | now.keys()):
                    choices = [flushed.get(name), now.get(name)] if chance else [flushed.get(name)]
                    chosen = chance.choice(choices) if chance else choices[0]
                    if chosen is not None:
                        self._make(chosen, os.dup(self._known[chosen]), target / name, chance)
            else:
                flushed_bytes = self._files.get(inode, b"")
                target.write_bytes(_torn(flushed_bytes, _content(live), chance) if chance else flushed_bytes)
        finally:
            os.close(live)


def _content(fd: int) -> bytes:
    fresh = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    try:
        return os.pread(fresh, os.fstat(fresh).st_size, 0)
    finally:
        os.close(fresh)


def _torn(flushed: bytes, now: bytes, chance: random.Random) -> bytes:
    """What may be found of a file: the old, the new, or some sectors of each; what is missing is zeros."""
    if flushed == now or (kind := chance.randrange(4)) == 0:
        return flushed
    if kind == 1:
        return now
    if kind == 2:  # appended bytes came up to some point
        return now[: chance.randint(min(len(flushed), len(now)), len(now))]
    result = bytearray()
    for start in range(0, len(now), _SECTOR):
        source = now if chance.random() < 0.5 else flushed
        size = min(_SECTOR, len(now) - start)
        result += source[start : start + size].ljust(size, b"\0")
    return bytes(result)


@contextmanager
def recording(root: Path) -> Iterator[Disk]:
    """Let flushes and writes below a folder be noted while the block runs."""
    disk, patch = Disk(root.resolve()), pytest.MonkeyPatch()
    fsync, fdatasync, pwrite, pwritev = os.fsync, os.fdatasync, os.pwrite, os.pwritev

    def noted_pwrite(fd: int, data: bytes, offset: int) -> int:
        disk.wrote(fd, offset, size := pwrite(fd, data, offset))
        return size

    def noted_pwritev(fd: int, parts: list[memoryview], offset: int) -> int:
        disk.wrote(fd, offset, size := pwritev(fd, parts, offset))
        return size

    try:
        patch.setattr(os, "fsync", lambda fd: disk.flush(fd, fsync))
        patch.setattr(os, "fdatasync", lambda fd: disk.flush(fd, fdatasync))
        patch.setattr(os, "pwrite", noted_pwrite)
        patch.setattr(os, "pwritev", noted_pwritev)
        yield disk
    finally:
        patch.undo()
        disk.close()
