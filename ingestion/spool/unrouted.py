"""What a collector received and no stream takes: a spool of its own beside the streams' spools.

Who gives it to a stream later: land/unrouted.py. What was given or discarded is noted in a file beside it.
"""

import json
import os
import sys
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ingestion.errors import StorageError
from ingestion.json_file import write_json
from ingestion.spool.reader import SpoolReader

_SUFFIX = ".unrouted"
SETTLED_FILE = "settled.json"

Range = tuple[int, int]
"""Positions [start, end)."""


def unrouted_name(collector: str) -> str:
    """The name of a collector's spool for them: a stream's name has no dot."""
    return f"{collector}{_SUFFIX}"


def is_unrouted(name: str) -> bool:
    """Whether a spool's name is that of such a spool."""
    return name.endswith(_SUFFIX)


@dataclass(frozen=True)
class Settled:
    """What of a log was given to a stream or discarded.

    Attributes:
        log_id: The log.
        ranges: In order, apart from each other.
    """

    log_id: str = ""
    ranges: tuple[Range, ...] = ()

    def holds(self, position: int) -> bool:
        """Whether a position is settled."""
        at = bisect_right(self.ranges, (position, sys.maxsize)) - 1
        return at >= 0 and position < self.ranges[at][1]

    def count(self, begin: int, end: int) -> int:
        """How many positions of [begin, end) are settled."""
        return sum(max(0, min(last, end) - max(first, begin)) for first, last in self.ranges)

    def first_open(self, begin: int) -> int:
        """The first position from `begin` on that is not settled."""
        for start, end in self.ranges:
            if start <= begin < end:
                begin = end
        return begin

    def with_(self, positions: Iterable[int]) -> "Settled":
        """The same with further positions."""
        merged: list[Range] = []
        for start, end in sorted([*self.ranges, *((position, position + 1) for position in positions)]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return Settled(self.log_id, tuple(merged))


def read_settled(folder: Path, log_id: str) -> Settled:
    """What of a log is settled; nothing where there is no file, or where it is another log's.

    Raises:
        StorageError: The file is damaged.
    """
    path = folder / SETTLED_FILE
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["log_id"] != log_id:
            return Settled(log_id)
        return Settled(log_id, tuple((int(start), int(end)) for start, end in kept["ranges"]))
    except FileNotFoundError:
        return Settled(log_id)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} cannot be read ({type(error).__name__}); delete it: what was given to a stream is not "
            "given to it again"
        ) from None


def write_settled(folder: Path, settled: Settled) -> None:
    """Note what is settled, durably.

    Raises:
        StorageError: It cannot be written.
    """
    write_json(folder / SETTLED_FILE, {"log_id": settled.log_id, "ranges": settled.ranges}, durable=True)


def count_open(folder: Path) -> int:
    """How many events of such a spool are neither given nor discarded.

    Raises:
        StorageError: It cannot be read.
    """
    with closing(SpoolReader(folder)) as reader:
        bounds = reader.bounds()
    if bounds is None:
        return 0
    return bounds.end - bounds.begin - read_settled(folder, bounds.log_id).count(bounds.begin, bounds.end)


class OpenCount:
    """How many events of such a spool are not settled; for a process that asks every second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: object = None
        self._settled = Settled()

    def of(self, log_id: str, begin: int, end: int) -> int:
        """Of the positions [begin, end) of a log."""
        try:
            found = os.stat(self._folder / SETTLED_FILE)
            stamp: object = (log_id, found.st_ino, found.st_mtime_ns)
        except OSError:
            stamp = (log_id,)
        if stamp != self._stamp:
            try:
                self._settled = read_settled(self._folder, log_id)
            except StorageError:
                self._settled = Settled(log_id)
            self._stamp = stamp
        return end - begin - self._settled.count(begin, end)
