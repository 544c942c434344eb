"""What the machine says: the processes' memory and time, and the room on the disks."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import Metric

from orchestration.metrics.families import Name, family
from orchestration.records.system_state import ServiceRow
from orchestration.records.usage import usage


def machine_families(services: Iterable[ServiceRow], folders: Mapping[str, Path]) -> Iterator[Metric]:
    """Memory and CPU of each service with its children, and the disks' room.

    Args:
        services: The processes.
        folders: What is kept there → a folder.
    """
    used = {row.name: found for row in services if row.pid and (found := usage(row.pid)) is not None}
    yield family(
        Name("service_memory_bytes", "Memory with its children, what is shared counted once.", ("service",)),
        (((name,), float(each.memory_bytes)) for name, each in used.items()),
    )
    yield family(
        Name(
            "service_cpu_seconds",
            "CPU time of the process, its children and those that have ended, since it started.",
            ("service",),
            grows=True,
        ),
        (((name,), each.cpu_seconds) for name, each in used.items()),
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
