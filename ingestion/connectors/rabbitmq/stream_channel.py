"""A channel that reads a stream queue: nothing is taken from it, and the broker remembers nothing of it.

Streams over AMQP 0.9.1: https://www.rabbitmq.com/docs/streams#consuming. What the positions mean: log.py.
"""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from ingestion.connectors.rabbitmq.connection import close, exchange
from ingestion.connectors.rabbitmq.message import OFFSET
from ingestion.errors import SourceUnavailable

_TURN_SECONDS = 0.1
EVERYTHING = 65_535
"""The largest credit that AMQP has; more than the messages of a chunk."""


class Read(NamedTuple):
    """A message of a stream."""

    offset: int
    tag: int
    method: Any
    properties: Any
    body: bytes


class StreamChannel:
    """Reads one stream, from one place or several.

    Args:
        connection: Whose channel it is.
        name: The stream's.
    """

    def __init__(self, connection: Any, name: str) -> None:
        self._connection, self._name = connection, name
        self._ended = self._is_queue = False
        self._channel = connection.channel()
        self._channel.add_on_cancel_callback(self._on_cancel)

    def read(self, begin: str | int | datetime, *, credit: int) -> deque[Read]:
        """Begin to read.

        Args:
            begin: first, last (the last chunk), an offset, or a time: the chunk that the broker took then.
            credit: How many messages may come before they are acknowledged, give or take a chunk.

        Returns:
            What comes, while `wait` is called.
        """
        found: deque[Read] = deque()

        def take(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            offset = (properties.headers or {}).get(OFFSET)
            if offset is None:
                self._is_queue = True
            else:
                found.append(Read(int(offset), method.delivery_tag, method, properties, body))

        self._channel.basic_qos(prefetch_count=credit)
        self._channel.basic_consume(self._name, take, arguments={OFFSET: begin})
        return found

    def wait(self, until: Callable[[], bool], *, seconds: float) -> bool:
        """Take in what comes until something holds; returns whether it does.

        Raises:
            SourceUnavailable: The stream was deleted, or is a queue.
            AMQPError: The channel or the connection is gone.
        """
        deadline = time.monotonic() + seconds
        while not until():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self.take_in(min(remaining, _TURN_SECONDS))
        return True

    def take_in(self, seconds: float) -> None:
        """Take in what comes within a time; raises as `wait` does."""
        exchange(self._connection, seconds=seconds)
        if self._is_queue:
            raise SourceUnavailable(
                f"'{self._name}' is a queue, not a stream: what it gave goes back to it; declare it as "
                f"{{queue: {self._name}}}"
            )
        if self._ended:
            raise SourceUnavailable(f"the stream '{self._name}' was deleted, or its node went away")
        if not self._channel.is_open:
            self.fence()

    def fence(self) -> None:
        """Wait for an answer of the channel's process: what it was sending comes before it."""
        self._channel.basic_qos(prefetch_count=1)

    def acknowledge(self, tag: int) -> None:
        """Give the broker credit for everything up to a message."""
        self._channel.basic_ack(tag, multiple=True)

    def close(self) -> None:
        """Stop reading."""
        close(self._channel)

    @property
    def is_open(self) -> bool:
        """Whether it still reads."""
        return bool(self._channel.is_open) and not self._ended

    def _on_cancel(self, _frame: Any) -> None:
        self._ended = True
