"""One data stream for one stream: which of its shards are read, and how far they are stored."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from ingestion.connectors.intake import Intake
from ingestion.connectors.kinesis import losses
from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.client import translated
from ingestion.connectors.kinesis.declare import KinesisSource
from ingestion.connectors.kinesis.progress import Progress, read_progress, write_progress
from ingestion.connectors.kinesis.reader import ShardReader
from ingestion.connectors.kinesis.records import Place, place_of
from ingestion.connectors.kinesis.shards import Shard, StreamLook, look_at, readable
from ingestion.errors import MillraceError, StorageError
from ingestion.spool.lanes import Place as Stored

_LOOK_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
_SAVE_SECONDS = 60.0
_log = structlog.get_logger(__name__)


class Following:
    """Follows a data stream's shards (listener.py).

    Args:
        name: The stream's name.
        source: Its source.
        access: How Kinesis is reached.
        client: boto3's.
        file: Where its progress is kept.
        intake: Knows what the spool holds.
        interval_seconds: Between two requests to a shard.

    Attributes:
        readers: Shard → who reads it; those whose turn it is.
        error: What is wrong now; empty when all is well.
        warning: What may have been lost; empty otherwise.
        is_ready: The shards are known, and so is where each begins.
    """

    def __init__(
        self, name: str, source: KinesisSource, access: KinesisAccess, client: Any,
        *, file: Path, intake: Intake, interval_seconds: float,
    ) -> None:  # fmt: skip
        self.name, self.readers, self.error, self.warning = name, dict[str, ShardReader](), "", ""
        self.is_ready = False
        self._progress = Progress()
        self._resumed = False
        self._source, self._access, self._client = source, access, client
        self._file, self._intake, self._interval = file, intake, interval_seconds
        self._look: Future[StreamLook] | None = None
        self._look_at = 0.0
        self._errors: dict[str, str] = {}
        self._newest: Stored | None = None
        self._unsaved, self._saved_at = "", time.monotonic()

    def ask(self, pool: Executor, now: float, *, may_read: bool) -> None:
        """Begin the requests that are due."""
        if self._look is None and now >= self._look_at:
            self._look = pool.submit(look_at, self._client, self._source.kinesis)
        if may_read:
            for reader in self.readers.values():
                reader.ask(pool, now)

    def due_in(self, now: float) -> float:
        """Seconds until a request is due."""
        times = [reader.due_at for reader in self.readers.values() if not reader.is_ended]
        return max(0.0, min([self._look_at, *times]) - now)

    def futures(self) -> list[Future[Any]]:
        """The requests under way."""
        every = [self._look, *(reader.future for reader in self.readers.values())]
        return [each for each in every if each is not None]

    def settle(self, now: float) -> None:
        """Take in what the requests brought; an error is this stream's alone, until that request succeeds."""
        self._settle("", partial(self._settle_look, now))
        for name, reader in list(self.readers.items()):
            self._settle(name, partial(reader.settle, now, interval_seconds=self._interval))
        errors = [each for name, each in self._errors.items() if not name or name in self.readers]
        self._note(next(iter(errors), self._unsaved))

    def placed(self, place: Stored) -> None:
        """Hear where an event of the next receipts is durable."""
        self._newest = place

    def stored(self, places: Iterable[Place]) -> None:
        """Note events as stored."""
        for place in places:
            self._progress.note(place)
        if self._newest is not None:
            self._progress.spool = self._newest
        self._save()

    def finish(self, now: float) -> None:
        """Note the shards that are stored to their end, so that their children have their turn."""
        if not self._resumed:
            return
        done = [name for name, reader in self.readers.items() if self._is_stored(reader)]
        for name in done:
            self.readers.pop(name)
            self._progress.finished.append(name)
            self._look_at = now
        is_first = not self._progress.complete_to and self._complete_to()
        if done or is_first or self._unsaved or now - self._saved_at >= _SAVE_SECONDS:
            self._save()

    @property
    def behind_seconds(self) -> float | None:
        """How far the slowest shard is behind its end; None before all have answered."""
        behind = [reader.behind_ms for reader in self.readers.values()]
        if not self.is_ready or None in behind:
            return None
        return max((each or 0 for each in behind), default=0) / 1_000

    def _is_stored(self, reader: ShardReader) -> bool:
        """Whether a shard is stored to its end."""
        newest = self._progress.sequences.get(reader.shard)
        return reader.is_ended and not reader.waiting and (not reader.sequence or newest == reader.sequence)

    def _complete_to(self) -> float:
        """Up to when everything is stored now, Unix seconds, about; 0 while something waits."""
        behind = self.behind_seconds
        waits = self._intake.waiting_of(self.name) or any(each.waiting for each in self.readers.values())
        return 0.0 if behind is None or waits else time.time() - behind

    def _save(self) -> None:
        """Write the progress down; until that succeeds, the spool holds what is needed."""
        self._progress.complete_to = self._complete_to() or self._progress.complete_to
        try:
            write_progress(self._file, self._progress)
            self._unsaved, self._saved_at = "", time.monotonic()
        except StorageError as error:
            self._unsaved = str(error)

    def _settle(self, what: str, work: Callable[[], bool]) -> None:
        try:
            with translated(self._access, self._client, stream=self._source.kinesis):
                if work():
                    self._errors.pop(what, None)
        except MillraceError as error:
            self._errors[what] = str(error)

    def _settle_look(self, now: float) -> bool:
        if self._look is None or not self._look.done():
            return False
        future, self._look = self._look, None
        self._look_at = now + _AGAIN_SECONDS
        look = future.result()
        if not self._resumed:
            self._progress, self._resumed = self._resume(), True
        self._take_in(look, self._progress)
        self._look_at = now + _LOOK_SECONDS
        return True

    def _resume(self) -> Progress:
        """What the file says, put right by the spool.

        Raises:
            StorageError: One of them cannot be read.
        """
        progress = read_progress(self._file)
        for log_id, first, events in self._intake.kept(self.name, after=progress.spool):
            for position, headers in enumerate(events["headers"].to_pylist(), first):
                if place := place_of(headers):
                    progress.note(place)
                progress.spool = Stored(self.name, log_id, position)
        return progress

    def _take_in(self, look: StreamLook, progress: Progress) -> None:
        name, created, now = self._source.kinesis, look.created.timestamp(), time.time()
        before = (progress.created, progress.since, tuple(progress.finished))
        if progress.stream != name:
            progress.begin(name)
            self.readers.clear()
        elif progress.created not in (0.0, created):
            self.warning = losses.made_again(name, look.created)
            progress.forget_shards()
            self.readers.clear()
        elif progress.complete_to and now - progress.complete_to > look.retention_hours * 3600:
            self.warning = losses.outlived(name, progress.complete_to, retention_hours=look.retention_hours)
        progress.created, progress.since = created, progress.since or now
        lost = progress.keep_only(shard.name for shard in look.shards)
        if lost:
            self.warning = losses.shards_gone(name, lost)
        if before != (progress.created, progress.since, tuple(progress.finished)):
            write_progress(self._file, progress)  # an error keeps it from being read: `since` must be known
        for shard in readable(look.shards, progress.finished):
            if shard.name in self.readers:
                self.readers[shard.name].is_closed = shard.is_closed
            else:
                self.readers[shard.name] = self._reader(shard, progress)
        self.is_ready = True

    def _reader(self, shard: Shard, progress: Progress) -> ShardReader:
        return ShardReader(
            self._client, self._source.kinesis, shard.name,
            is_closed=shard.is_closed, begin=self._begin(shard, progress),
        )  # fmt: skip

    def _begin(self, shard: Shard, progress: Progress) -> Mapping[str, Any]:
        if sequence := progress.sequences.get(shard.name):
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence}
        start = self._source.start
        if start == "earliest" or any(each in progress.finished for each in shard.parents):
            return {"ShardIteratorType": "TRIM_HORIZON"}
        moment = start.timestamp() if isinstance(start, datetime) else progress.since
        return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}

    def _note(self, error: str) -> None:
        if error and error != self.error:
            _log.warning(error)
        self.error = error
