"""Group commit: events gather in memory, go to their streams' spools together, then count as safe.

Each spool stops by itself (guarded.py) and holds up its own lane (lanes.py). Whom to
tell that events are safe is the listener's business (collector.py), so receipts are opaque here.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic

from ingestion.faultpoints import faultpoint
from ingestion.spool.guarded import GuardedSpool, Held, Limits
from ingestion.spool.lanes import Lanes, Place, Placed, Receipt, Waiting
from ingestion.spool.log import spool_name
from ingestion.spool.reader import OlderSegments, SpoolReader, Stretch
from ingestion.spool.writer import SpoolEvent, SpoolWriter

_LEAST_WAITING_BYTES = 2**20


class Intake(Generic[Receipt]):
    """The spools of several streams and what waits to be written to them.

    Args:
        folder: Folder of all spools.
        streams: Their names.
        limits: Sizes and waits.
        unrouted: The spool for what no stream takes; made when there is something for it.
        collector: Number of the collector whose spools they are.
    """

    def __init__(
        self, folder: Path, streams: Sequence[str], *, limits: Limits, unrouted: str, collector: int = 0
    ) -> None:
        self._limits, self._folder, self._collector = limits, folder, collector
        self._lanes: Lanes[Receipt] = Lanes()
        self._lane_bytes = max(limits.waiting_bytes // len(streams), _LEAST_WAITING_BYTES)
        self._measured_at = float("-inf")
        folders = {name: folder / spool_name(name, collector) for name in streams}
        folders[unrouted] = folder / unrouted
        self._spools = {name: GuardedSpool(path, limits) for name, path in folders.items()}
        self._streams, self._unrouted = tuple(streams), unrouted
        self._pool = ThreadPoolExecutor(min(len(streams), 4), thread_name_prefix="spool")
        for name, spool in self._spools.items():
            if name != unrouted or (folder / name).is_dir():
                spool.open()

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._lanes)

    @property
    def errors(self) -> dict[str, str]:
        """Spool → why nothing is written to it at the moment; only those with a reason."""
        return {name: spool.error for name, spool in self._spools.items() if spool.error}

    @property
    def spool_bytes(self) -> int:
        """Size of all spools, measured about once a second."""
        return sum(spool.size for spool in self._spools.values())

    @property
    def positions(self) -> dict[str, int]:
        """Stream → position up to which its spool is durable; 0 for one that could not be opened."""
        found = {name: self._spools[name].writer for name in self._streams}
        return {name: writer.durable if writer else 0 for name, writer in found.items()}

    @property
    def unrouted(self) -> SpoolWriter | None:
        """The spool of what no stream takes; None as long as there is none."""
        return self._spools[self._unrouted].writer

    def is_overfull(self, lane: str) -> bool:
        """Nothing more should be taken into a lane before some of it is stored."""
        return self._lanes.size(lane) >= self._lane_bytes

    def waiting_of(self, lane: str) -> int:
        """How many events of a lane wait."""
        return self._lanes.count(lane)

    def held(self, stream: str) -> Held | None:
        """Why nothing is stored for a stream at the moment; None when all is well."""
        spool = self._spools[stream]
        return Held(spool.error, spool.is_full) if spool.error else None

    def kept(self, stream: str, *, after: Place | OlderSegments | None) -> Iterator[Stretch]:
        """What a stream's spool holds durably, in its order (reader.py)."""
        return SpoolReader(self._folder / spool_name(stream, self._collector)).kept(after=after)

    def take(
        self,
        event: SpoolEvent,
        streams: tuple[str, ...],
        *,
        receipt: Receipt,
        lane: str,
        placed: Placed | None = None,
    ) -> None:
        """Let an event wait for the next commit; `commit` hands the receipt back once it is safe."""
        self._lanes.add(lane, event, streams or (self._unrouted,), receipt, placed)

    def revise(self, revised: Callable[[Receipt], Receipt | None]) -> None:
        """Change the receipts of what waits; what gets None is dropped: its sender will send it again."""
        self._lanes.revise(revised)

    def commit(self, *, at_once: bool = False) -> list[Receipt]:
        """Write what waits to its spools and make it durable.

        Args:
            at_once: Try even if it was impossible a moment ago.

        Returns:
            The receipts of all that is safe now, of each lane in the order of `take`. What could not be
            written waits on, and `errors` says why.
        """
        now = time.monotonic()
        self._measure(now)
        ready = {name: spool.is_ready(now, at_once=at_once) for name, spool in self._wanted().items()}
        waiting: dict[str, list[Waiting[Receipt]]] = {}
        for item in self._lanes:
            for name in item.missing:
                if ready[name]:
                    waiting.setdefault(name, []).append(item)
        if waiting:
            self._write(waiting)
        return self._lanes.take_stored()

    def close(self) -> None:
        """Close the spools; what still waits is forgotten, unacknowledged."""
        self._pool.shutdown()
        for spool in self._spools.values():
            spool.close()

    def _wanted(self) -> dict[str, GuardedSpool]:
        """The spools that something waits for."""
        return {name: self._spools[name] for item in self._lanes for name in item.missing}

    def _write(self, waiting: dict[str, list[Waiting[Receipt]]]) -> None:
        """One commit for each spool that has something to write."""
        faultpoint("intake.commit")
        # The kernel merges flushes that run side by side, so several streams cost little more than one.
        run = self._pool.map if len(waiting) > 1 else map
        firsts = list(run(self._commit_one, waiting.items()))
        for (name, items), first in zip(waiting.items(), firsts, strict=True):
            if first is not None:
                self._note_stored(name, items, first)

    def _note_stored(self, name: str, items: list[Waiting[Receipt]], first: int) -> None:
        writer = self._spools[name].writer
        log_id = writer.log_id if writer else ""
        for position, item in enumerate(items, first):
            item.missing = tuple(other for other in item.missing if other != name)
            if item.placed is not None:
                item.placed(Place(name, log_id, position))

    def _commit_one(self, batch: tuple[str, list[Waiting[Receipt]]]) -> int | None:
        name, items = batch
        return self._spools[name].commit([item.event for item in items])

    def _measure(self, now: float) -> None:
        if now - self._measured_at >= self._limits.blocked_seconds:
            self._measured_at = now
            for spool in self._spools.values():
                spool.measure()
