"""What does not work on this machine: processes that ended or were halted, disks that fill."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil

from orchestration.conditions.condition import Finding
from orchestration.records.system_state import ServiceRow

_PROVEN_SECONDS = 8.0
_STANDING = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP})


class Restarts:
    """Knows which services are down, or have only just come back: one that ends again and again is down.

    Args:
        logs: The folder of their logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._down_at: dict[str, float] = {}
        self._missing = set[str]()

    def down(self, services: Iterable[ServiceRow], *, now_s: float) -> Iterator[Finding]:
        """Services without a process that has lived for a while.

        Args:
            services: The supervisor's table.
            now_s: Seconds from a clock that never goes back.
        """
        for row in services:
            # A start may take its time: what counts is for how long it has been seen alive since.
            if not row.running or row.name in self._missing:
                self._down_at[row.name] = now_s
            (self._missing.discard if row.running else self._missing.add)(row.name)
            if now_s - self._down_at.get(row.name, float("-inf")) < _PROVEN_SECONDS:
                why = f": {row.error}" if row.error else ""
                yield Finding(
                    "service_down", row.name, f"{row.name} does not run{why}",
                    f"It is started again by itself; {self._logs / row.name}.log says why it ended.",
                )  # fmt: skip


def standing(services: Iterable[ServiceRow]) -> Iterator[Finding]:
    """Services whose process was halted (SIGSTOP, a debugger): it lives, and answers nobody."""
    for row in services:
        if row.pid is None:
            continue
        try:
            status = psutil.Process(row.pid).status()
        except psutil.Error:
            continue
        if status in _STANDING:
            yield Finding(
                "service_stuck", row.name, f"{row.name} (pid {row.pid}) was halted and does nothing",
                "It is ended and started again by itself.",
            )  # fmt: skip


def disks(folders: Iterable[Path], *, known: set[Path], reserve_bytes: int) -> Iterator[Finding]:
    """Folders that are gone or read-only, or whose disk has little room left; each disk once.

    Args:
        folders: Of the data and of the lake.
        known: Those that have been there; what is there now is added.
        reserve_bytes: Less free space than this is too little.
    """
    seen = set[int]()
    for folder in dict.fromkeys(folders):
        try:
            device, state, free = folder.stat().st_dev, os.statvfs(folder), shutil.disk_usage(folder).free
            next(os.scandir(folder), None)
        except OSError as error:
            if folder not in known:  # the first batch makes it
                continue
            yield Finding(
                "files_not_writable", str(folder),
                f"the folder {folder} cannot be read ({error.strerror or type(error).__name__})",
                "Mount its disk, or repair it; streams go on by themselves then, and nothing is lost.",
            )  # fmt: skip
            continue
        known.add(folder)
        if state.f_flag & os.ST_RDONLY:
            yield Finding(
                "files_not_writable", str(folder), f"the disk of {folder} has become read-only",
                "The machine's log may say why; mount it writable again, and streams go on by themselves.",
            )  # fmt: skip
        if device not in seen and free < reserve_bytes:
            seen.add(device)
            yield Finding(
                "disk_low", str(folder),
                f"the disk of {folder} has less than {at_most(free, reserve_bytes)} left",
                "Make room, or move the folder: a full disk stops every stream, and loses nothing.",
            )  # fmt: skip


def at_most(free: int, reserve_bytes: int) -> str:
    """The next power of two: a sentence that changed with every byte would fill the disk that it is about."""
    mebibytes = min(2 ** (free // 2**20).bit_length(), reserve_bytes // 2**20)
    return f"{mebibytes} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:,.4g} GiB"


def runs_for(pid: int | None) -> timedelta | None:
    """For how long a process has run; None when there is none. Nobody sets the clocks that this is from."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return None
    started = int(fields.split()[19]) / os.sysconf("SC_CLK_TCK")  # proc(5): starttime, field 22
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - started)
