"""CPU seconds and memory of process trees, read from outside."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

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
    return sum(pss_by_name(roots).values())


def pss_by_name(roots: Iterable[int]) -> Mapping[str, float]:
    """The same by what the processes are: a Python module, or a program."""
    found = defaultdict[str, float](float)
    for process in members(roots):
        try:
            argv, pss = process.cmdline(), process.memory_full_info().pss
        except psutil.Error:
            continue
        module = argv[argv.index("-m") + 1] if "-m" in argv else Path(argv[0]).name if argv else "?"
        found[module.split(":")[0]] += pss / 2**20  # PostgreSQL writes what it does behind a colon
    return found


class Peak:
    """Samples the trees' memory on a thread until it is stopped.

    Attributes:
        largest: MiB by what the processes are, of the sample with the largest sum.
    """

    def __init__(self, roots: Callable[[], Iterable[int]], *, every_s: float = 5.0) -> None:
        self.largest: Mapping[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(roots, every_s), daemon=True)
        self._thread.start()

    def _run(self, roots: Callable[[], Iterable[int]], every_s: float) -> None:
        while not self._stop.wait(every_s):
            self.largest = max(self.largest, pss_by_name(roots()), key=lambda each: sum(each.values()))

    def stop(self) -> float:
        """End; the largest sample in MiB."""
        self._stop.set()
        self._thread.join()
        return float(sum(self.largest.values()))
