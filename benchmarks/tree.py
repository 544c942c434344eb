"""CPU seconds and memory of process trees, read from outside."""

import threading
from collections.abc import Callable, Iterable

import psutil


def members(roots: Iterable[int]) -> list[psutil.Process]:
    """The living processes below the roots, themselves included."""
    found: dict[int, psutil.Process] = {}
    for pid in roots:
        try:
            root = psutil.Process(pid)
            found |= {process.pid: process for process in (root, *root.children(recursive=True))}
        except psutil.Error:
            continue
    return list(found.values())


def cpu_seconds(roots: Iterable[int]) -> float:
    """What the trees have used so far; of a child that is gone its parent tells."""
    total = 0.0
    for process in members(roots):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
    return total


def pss_mib(roots: Iterable[int]) -> float:
    """Proportional set size: what is shared counts once."""
    total = 0
    for process in members(roots):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


class Peak:
    """Samples the trees' memory on a thread until it is stopped.

    Attributes:
        samples_mib: What it saw.
    """

    def __init__(self, roots: Callable[[], Iterable[int]], *, every_s: float = 5.0) -> None:
        self.samples_mib: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(roots, every_s), daemon=True)
        self._thread.start()

    def _run(self, roots: Callable[[], Iterable[int]], every_s: float) -> None:
        while not self._stop.wait(every_s):
            self.samples_mib.append(pss_mib(roots()))

    def stop(self) -> float:
        """End; the largest sample in MiB."""
        self._stop.set()
        self._thread.join()
        return max(self.samples_mib, default=0.0)
