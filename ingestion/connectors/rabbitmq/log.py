"""A stream queue as a log: positions are offsets, the broker keeps the messages. One partition, of its name.

How a stream is asked for its bounds is in asking.py, how a connection reads it in stream_channel.py.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.asking import StreamQuestions
from ingestion.connectors.rabbitmq.connection import (
    CONNECTION_ERRORS,
    close,
    connect,
    create,
    exchange,
    translated,
)
from ingestion.connectors.rabbitmq.declare import RabbitSource
from ingestion.connectors.rabbitmq.message import sent_at
from ingestion.connectors.rabbitmq.refusals import not_connected
from ingestion.connectors.rabbitmq.rows import CHUNK_BYTES, Rows
from ingestion.connectors.rabbitmq.stream_channel import Read, StreamChannel
from ingestion.errors import SourceStalled, SourceUnavailable
from ingestion.log.port import Bounds, Break, Chunk, Start, Window
from ingestion.log.stalls import read_over

T = TypeVar("T")


class RabbitStreamLog:
    """One stream's log (log/port.py).

    Args:
        name: Of the stream that is declared.
        source: The stream queue.
        access: How the broker is reached.
        timeout_seconds: Bound of every call.

    Attributes:
        stalls: How often reading stood still and was begun again over a new connection.
    """

    keeps_until_confirmed = False

    def __init__(
        self, name: str, source: RabbitSource, access: RabbitAccess, *, timeout_seconds: float
    ) -> None:
        self._who = f"stream '{name}': " if name else ""
        self._source, self._access, self._timeout = source, access, timeout_seconds
        self._queue = source.rabbitmq.name
        self._connection: Any = None
        self._tail: tuple[int, StreamChannel, deque[Read]] | None = None
        self._stuck = (
            f"{self._who}{access.place} gave no message of the stream '{self._queue}' for "
            f"{timeout_seconds:g} s although it has more; look at the broker if this repeats"
        )
        self._questions = StreamQuestions(self._queue, timeout_seconds=timeout_seconds, stuck=self._stuck)
        self.stalls = 0

    def bounds(self) -> dict[str, Bounds]:
        """From the first message to the last one; a stream has no identity of its own (`explain`)."""

        def ask(connection: Any) -> Bounds:
            create(connection, self._source)
            return self._questions.edges(connection)

        return {self._queue: self._asked(ask)}

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        """Whether a message has come after the end in `known`, or the stream is another one."""
        if self._queue not in known:
            return False
        return self._asked(partial(self._has_come, known[self._queue].end))

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        """Nothing: the last event that was read shows it (log/recognition.py)."""
        return {}

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """Where the stream begins: at its first or next message, at an offset, or at a time."""
        return {name: self._start(start, bounds) for name, bounds in partitions.items()}

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the window's messages; a connection over which none comes is replaced once."""
        with self._translated():
            yield from read_over(self._read, windows, replace=self._replace)

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        """When the first message of the window was sent; None where neither sender nor broker stamped it."""
        found = {}
        for name, window in windows.items():
            if window.start < window.end:
                first = self._asked(partial(self._questions.first_from, window.start))
                if first is not None and first.offset < window.end:
                    found[name] = sent_at(first.properties)
        return found

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Nothing: a stream does not know who has read it."""

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        """What happened to the stream, and the way out."""
        begin, end = (bounds.begin, bounds.end) if bounds else (0, 0)
        return {
            Break.GONE: f"is in the lake up to {position}, but the broker has it no more; restore it, or "
            "declare its successor as a new stream",
            Break.OTHER_LOG: "was deleted and made again: its offsets start over and would be taken for "
            "those in the lake; declare the new one as a new stream",
            Break.ENDS_BEFORE: f"ends at {end}, before our position {position}: it was deleted and made "
            "again, or lost messages; declare it as a new stream to read it from its beginning",
            Break.BEGINS_AFTER: f"begins at {begin}, after our position {position}: retention deleted "
            f"{begin - position} unread positions; set 'on_truncated: earliest' on its source to go on after "
            "the gap",
            Break.PUT_BACK: f"has other messages than those that were read before our position {position}: "
            "it was deleted and made again, or its broker went back to an earlier state; declare it as a new "
            "stream to read it from its beginning",
        }[broken]

    def close(self) -> None:
        """Close the connection."""
        self._tail = None
        close(self._connection)
        self._connection = None

    def _start(self, start: Start, bounds: Bounds) -> int:
        if self._source.offset is not None:
            return min(max(self._source.offset, bounds.begin), bounds.end)
        if not isinstance(start, datetime):
            return bounds.begin if start == "earliest" else bounds.end
        if bounds.begin == bounds.end:
            return bounds.end
        return self._asked(partial(self._questions.first_since, start, bounds))

    def _has_come(self, end: int, connection: Any) -> bool:
        """Whether a message has an offset of `end` or more; a consumer stays there and looks out for it."""
        if self._tail is None or self._tail[0] != end or not self._tail[1].is_open:
            if self._tail is not None:
                self._tail[1].close()
            channel = StreamChannel(connection, self._queue)
            self._tail = (end, channel, channel.read(end, credit=1))
        _, channel, came = self._tail
        channel.take_in(0)
        return bool(came)

    def _read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        for name, window in windows.items():
            if window.start == window.end:
                yield Chunk(Rows(name).table(), {name: window.end})
                continue
            try:
                channel = StreamChannel(self._connect(), self._queue)
                try:
                    yield from self._window(channel, name, window)
                finally:
                    channel.close()
            except CONNECTION_ERRORS as error:  # another connection goes on where this one ended
                raise SourceStalled(self._who + not_connected(self._access, error)) from None

    def _window(self, channel: StreamChannel, name: str, window: Window) -> Iterator[Chunk]:
        came = channel.read(window.start, credit=self._source.prefetch)
        at, rows = window.start, Rows(name)
        while at < window.end:
            if not channel.wait(lambda: bool(came), seconds=self._timeout):
                raise SourceStalled(f"{self._stuck} (at {at} of {window.end})")
            while came and at < window.end:
                message = came.popleft()
                if message.offset > at:
                    self._refuse_gap(at)
                if at <= message.offset < window.end:
                    rows.add(message)
                at = max(at, min(message.offset + 1, window.end))
            if at < window.end:
                channel.acknowledge(message.tag)
            if rows.size >= CHUNK_BYTES or at >= window.end:
                yield Chunk(rows.table(), {name: at})
                rows = Rows(name)

    def _refuse_gap(self, at: int) -> None:
        """Refuse what retention deletes while a window is read: to the broker it is like a hole."""
        if self._questions.edges(self._connect()).begin > at:
            raise SourceUnavailable(
                f"{self._who}retention deleted messages of '{self._queue}' while they were to be read; the "
                "next batch says which"
            )

    def _replace(self) -> None:
        self.stalls += 1
        self.close()

    def _connect(self) -> Any:
        """The connection, made again where the broker has given it up between two calls."""
        if self._connection is not None:
            try:
                exchange(self._connection, seconds=0)
            except CONNECTION_ERRORS:
                self.close()
        if self._connection is None:
            self._connection = connect(self._access, "stream", timeout_seconds=self._timeout, who=self._who)
        return self._connection

    def _asked(self, question: Callable[[Any], T]) -> T:
        """An answer; asked again over a new connection where the one of before has turned out to be gone."""
        with self._translated():
            was_there = self._connection is not None
            try:
                return question(self._connect())
            except CONNECTION_ERRORS:
                self.close()
                if not was_there:
                    raise
                return question(self._connect())

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._access, self._source.rabbitmq, who=self._who)
