"""What the machine says: the processes' memory and time, and the room on the disks."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client.core import Metric

from orchestration.metrics.families import Name, family
from orchestration.records.system_state import ServiceRow


def machine_families(services: Iterable[ServiceRow], folders: Mapping[str, Path]) -> Iterator[Metric]:
    """Memory and CPU of each service with its children, and the disks' room.

    Args:
        services: The processes.
        folders: What is kept there → a folder.
    """
    used = {row.name: found for row in services if row.pid and (found := _used(row.pid)) is not None}
    yield family(
        Name("service_memory_bytes", "Memory with its children, what is shared counted once.", ("service",)),
        (((name,), float(memory)) for name, (memory, _) in used.items()),
    )
    yield family(
        Name(
            "service_cpu_seconds",
            "CPU time of the process, its children and those that have ended, since it started.",
            ("service",),
            grows=True,
        ),
        (((name,), seconds) for name, (_, seconds) in used.items()),
    )
    disks = {what: shutil.disk_usage(path) for what, path in folders.items() if path.exists()}
    yield family(
        Name("disk_free_bytes", "Free room on the disk of the data folder, of the lake.", ("of",)),
        (((what,), float(disk.free)) for what, disk in disks.items()),
    )
    yield family(
        Name("disk_size_bytes", "Size of that disk.", ("of",)),
        (((what,), float(disk.total)) for what, disk in disks.items()),
    )


def _used(pid: int) -> tuple[int, float] | None:
    """Bytes and CPU-seconds of a process with its children; None when it has ended."""
    try:
        process = psutil.Process(pid)
        memory, times = _memory(process), process.cpu_times()
        children = process.children(recursive=True)
    except psutil.Error:
        return None
    seconds = times.user + times.system + times.children_user + times.children_system
    for child in children:
        with suppress(psutil.Error):
            memory += _memory(child)
            own = child.cpu_times()
            seconds += own.user + own.system + own.children_user + own.children_system
    return memory, seconds


def _memory(process: psutil.Process) -> int:
    """Bytes; of what forks share each has its part, where the system knows that."""
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))
