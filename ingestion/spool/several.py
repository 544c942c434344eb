"""The spools of several collectors as one log: a partition each. They share a stream's messages among them.

One spool is log.py's.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ingestion.log.port import Bounds, Break, Chunk, Start, Window
from ingestion.spool.log import SpoolLog


class SpoolLogs:
    """A stream's log (log/port.py) over several spools.

    Args:
        spools: One a collector; their partitions have different names.

    Attributes:
        spools: The same.
    """

    stalls = 0
    keeps_until_confirmed = True

    def __init__(self, spools: Sequence[SpoolLog]) -> None:
        self.spools = tuple(spools)
        self._by_partition = {spool.partition: spool for spool in spools}

    def bounds(self) -> dict[str, Bounds]:
        """A partition for each spool that is there."""
        return {name: found for spool in self.spools for name, found in spool.bounds().items()}

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        """Whether one of them holds something else."""
        return self.bounds() != known

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        """Those of which a copy was put back, and written on."""
        return {name: at for spool in self.spools for name, at in spool.diverged(proofs).items()}

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """Of each as of one."""
        found: dict[str, int] = {}
        for name, bounds in partitions.items():
            found |= self._by_partition[name].start_positions(start, {name: bounds})
        return found

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """One after the other."""
        for name, window in windows.items():
            yield from self._by_partition[name].read({name: window})

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        """Of each as of one."""
        found: dict[str, datetime | None] = {}
        for name, window in windows.items():
            found |= self._by_partition[name].first_times({name: window})
        return found

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Trim what is in the lake."""
        for name, position in positions.items():
            if name in self._by_partition:
                self._by_partition[name].trim(position)

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        """What happened to the spool that holds just this, or nothing, and the ways out."""
        meant = (each for each in self.spools if each.bounds().get(each.partition) == bounds)
        return next(meant, self.spools[0]).explain(broken, position=position, bounds=bounds)

    def close(self) -> None:
        """Close all of them."""
        for spool in self.spools:
            spool.close()
