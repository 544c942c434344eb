"""Kinesis shards → events for streams; how far each was stored is remembered after the spool's flush.

One data stream is in following.py, one shard in reader.py. Requests run in a few threads, so that a slow
answer holds up nobody; everything else runs in the collector's.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from ingestion.connectors.intake import Intake
from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.client import open_client
from ingestion.connectors.kinesis.declare import KinesisSource
from ingestion.connectors.kinesis.following import Following
from ingestion.connectors.kinesis.progress import progress_file
from ingestion.connectors.kinesis.reader import ShardReader
from ingestion.connectors.kinesis.records import Place
from ingestion.connectors.listener import ListenerStatus

_INTERVAL_SECONDS = 0.25
"""Kinesis answers five requests a second for a shard; streams that read the same one share them."""
_THREADS = 16


class KinesisReceipt(NamedTuple):
    """Which event of which stream is stored."""

    stream: str
    place: Place


class KinesisListener:
    """Reads data streams for several streams (connectors/listener.py).

    Args:
        sources: Stream's name → its source.
        access: How Kinesis is reached.
        state: The folder for how far each was stored.
        intake: Takes the events.
        timeout_seconds: Bound of each request.

    Raises:
        ConfigError: No region is set, or there is no such profile.
    """

    def __init__(
        self, sources: Mapping[str, KinesisSource], access: KinesisAccess,
        *, state: Path, intake: Intake, timeout_seconds: float,
    ) -> None:  # fmt: skip
        client = open_client(access, timeout_seconds=timeout_seconds, connections=_THREADS)
        names = [source.kinesis for source in sources.values()]
        self._access, self._intake = access, intake
        self._streams = {
            name: Following(
                name, source, access, client, file=progress_file(state, name), intake=intake,
                interval_seconds=_INTERVAL_SECONDS * names.count(source.kinesis),
            )
            for name, source in sources.items()
        }  # fmt: skip
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="kinesis")
        self._turn = 0

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        """Ask what is due, wait for an answer, hand over what came."""
        now = time.monotonic()
        for name, stream in self._streams.items():
            stream.ask(self._pool, now, may_read=more(name))
        self._wait(timeout_seconds, now, more)
        now = time.monotonic()
        for stream in self._streams.values():
            stream.settle(now)
        for stream, reader in self._in_turn():
            self._hand_over(stream, reader, more)
        for stream in self._streams.values():
            stream.finish(now)

    def acknowledge(self, receipts: Iterable[KinesisReceipt]) -> None:
        """Remember how far each stream is stored."""
        places: dict[str, list[Place]] = {}
        for receipt in receipts:
            places.setdefault(receipt.stream, []).append(receipt.place)
        for name, stored in places.items():
            self._streams[name].stored(stored)

    def status(self) -> ListenerStatus:
        """The data streams' state."""
        every = self._streams.values()
        errors = {stream.error: f"stream '{stream.name}': {stream.error}" for stream in every if stream.error}
        readers = [reader for stream in every for reader in stream.readers.values()]
        behind = {stream.name: stream.behind_seconds for stream in every}
        return ListenerStatus(
            address=self._access.address,
            connected=any(stream.is_ready and not stream.error for stream in every),
            ready=all(stream.is_ready for stream in every),
            error=next(iter(errors)) if len(errors) == 1 and all(stream.error for stream in every)
            else "; ".join(errors.values()),
            warning="; ".join(stream.warning for stream in every if stream.warning),
            figures={
                "shards": {stream.name: len(stream.readers) for stream in every},
                "behind_seconds": {name: seconds for name, seconds in behind.items() if seconds is not None},
                "throttled": sum(reader.throttled for reader in readers),
            },
        )  # fmt: skip

    def close(self) -> None:
        """Leave; what was read and not stored is read again."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _wait(self, timeout_seconds: float, now: float, more: Callable[[str], bool]) -> None:
        if any(reader.waiting and more(stream.name) for stream, reader in self._in_turn()):
            return
        futures = [future for stream in self._streams.values() for future in stream.futures()]
        seconds = min([timeout_seconds, *(max(each.due_in(now), 0.01) for each in self._streams.values())])
        if futures:
            wait(futures, timeout=timeout_seconds, return_when=FIRST_COMPLETED)
        else:
            time.sleep(seconds)

    def _in_turn(self) -> list[tuple[Following, ShardReader]]:
        """All shards, each turn another one first."""
        every = [(stream, reader) for stream in self._streams.values() for reader in stream.readers.values()]
        self._turn += 1
        first = self._turn % len(every) if every else 0
        return every[first:] + every[:first]

    def _hand_over(self, stream: Following, reader: ShardReader, more: Callable[[str], bool]) -> None:
        """Give whole records to the intake while it takes more: a packed one is never divided."""
        is_whole = True
        while reader.waiting and (not is_whole or more(stream.name)):
            event, place = reader.waiting.popleft()
            is_whole = place.is_last
            self._intake.take(
                event, (stream.name,),
                receipt=KinesisReceipt(stream.name, place), lane=stream.name, placed=stream.placed,
            )  # fmt: skip
