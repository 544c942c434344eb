"""What a process and its children take of the machine."""

from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """Of a process with its children.

    Attributes:
        memory_bytes: Of what forks share each has its part, where the system knows that.
        cpu_seconds: Since it started; of children that have ended, too.
        started_at: Seconds since 1970.
    """

    memory_bytes: int
    cpu_seconds: float
    started_at: float


def usage(pid: int) -> Usage | None:
    """Memory and CPU time of a process with its children; None when it has ended."""
    try:
        process = psutil.Process(pid)
        started, memory, times = process.create_time(), _memory(process), process.cpu_times()
        children = process.children(recursive=True)
    except psutil.Error:
        return None
    seconds = times.user + times.system + times.children_user + times.children_system
    for child in children:
        with suppress(psutil.Error):
            memory += _memory(child)
            own = child.cpu_times()
            seconds += own.user + own.system + own.children_user + own.children_system
    return Usage(memory, seconds, started)


def _memory(process: psutil.Process) -> int:
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))
