"""One shard, read an answer at a time in a thread of the listener's pool."""

import random
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from ingestion.connectors.kinesis.client import EXPIRED, THROTTLED, code_of
from ingestion.connectors.kinesis.records import Place, events_of
from ingestion.spool.writer import SpoolEvent

_RECORDS = 4_000
_LONGEST_SECONDS = 10.0
_IDLE_SECONDS = 1.0
"""Between two requests where nothing comes: all readers of a shard share five a second, and each costs."""


@dataclass(frozen=True)
class _Answer:
    events: list[tuple[SpoolEvent, Place]]
    behind_ms: int | None
    is_end: bool
    throttled: bool = False


class ShardReader:
    """Reads a shard from a place on (listener.py).

    Args:
        client: boto3's.
        stream: The data stream.
        shard: The shard's id.
        is_closed: Nothing is written to it any more.
        begin: Where the first iterator is: arguments of GetShardIterator.

    Attributes:
        waiting: What was read and not taken yet.
        behind_ms: How far the newest answer was behind the shard's end; None before the first.
        is_ended: It was read to its end, which is not to come.
        sequence: Of the newest record that was read.
        due_at: Not asked again before (time.monotonic).
        throttled: How often Kinesis has said: later.
    """

    def __init__(
        self, client: Any, stream: str, shard: str, *, is_closed: bool, begin: Mapping[str, Any]
    ) -> None:
        self.shard, self.is_closed = shard, is_closed
        self.waiting: deque[tuple[SpoolEvent, Place]] = deque()
        self.behind_ms: int | None = None
        self.is_ended = False
        self.sequence = ""
        self.due_at = 0.0
        self.throttled = 0
        self.future: Future[_Answer] | None = None
        self._client, self._stream, self._begin = client, stream, dict(begin)
        self._iterator: str | None = None
        self._failures = 0
        self._empty = 0

    def ask(self, pool: Executor, now: float) -> None:
        """Ask for the next records, if it is time and the last ones were taken."""
        if self.future is None and not self.waiting and not self.is_ended and now >= self.due_at:
            self.future = pool.submit(self._fetch)

    def settle(self, now: float, *, interval_seconds: float) -> bool:
        """Take in what a thread has brought; returns whether it has, and Kinesis answered.

        Args:
            now: time.monotonic().
            interval_seconds: Until it is asked again at the earliest; where nothing comes, up to a second.

        Raises:
            Exception: What boto3 raised.
        """
        if self.future is None or not self.future.done():
            return False
        future, self.future = self.future, None
        try:
            answer = future.result()
        except Exception:
            self._iterator = None
            self._rest(now)
            raise
        if answer.throttled:
            self.throttled += 1
            self._rest(now)
            return False
        self._failures = 0
        self._empty = 0 if answer.events or answer.behind_ms else self._empty + 1
        self.due_at = now + max(interval_seconds, min(interval_seconds * (1 + self._empty), _IDLE_SECONDS))
        self.behind_ms = answer.behind_ms
        self.waiting.extend(answer.events)
        if answer.events:
            self.sequence = answer.events[-1][1].sequence
        self.is_ended = answer.is_end
        return True

    def _rest(self, now: float) -> None:
        self._failures += 1
        longest = min(0.5 * 2.0 ** min(self._failures, 10), _LONGEST_SECONDS)
        self.due_at = now + longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the requests

    def _fetch(self) -> _Answer:
        try:
            if self._iterator is None:
                given = self._client.get_shard_iterator(
                    StreamName=self._stream, ShardId=self.shard, **self._place()
                )
                self._iterator = given["ShardIterator"]
            answer = self._client.get_records(ShardIterator=self._iterator, Limit=_RECORDS)
        except Exception as error:
            if code_of(error) == EXPIRED:  # after five minutes without a request
                self._iterator = None
                return _Answer([], self.behind_ms, is_end=False)
            if code_of(error) in THROTTLED:
                return _Answer([], self.behind_ms, is_end=False, throttled=True)
            raise
        self._iterator = answer.get("NextShardIterator")
        events = [each for record in answer["Records"] for each in events_of(record, self.shard)]
        behind = answer.get("MillisBehindLatest")
        # A closed shard ends with a missing iterator. Emulators give one for ever: there, its end is empty.
        is_end = not self._iterator or (self.is_closed and not events and not behind)
        return _Answer(events, behind, is_end=is_end)

    def _place(self) -> dict[str, Any]:
        if self.sequence:
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self.sequence}
        return self._begin
