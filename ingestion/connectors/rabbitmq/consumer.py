"""One queue's consumer: a channel of its own, so that what happens to one queue stops no other.

What is done with the messages, and the connection, belong to listener.py.
"""

from collections import deque
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import structlog
from pika import exceptions

from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.connection import close, create
from ingestion.connectors.rabbitmq.declare import RabbitSource
from ingestion.connectors.rabbitmq.message import OFFSET, headers_of, key_of, received_now
from ingestion.connectors.rabbitmq.refusals import NOT_FOUND, refused_channel
from ingestion.connectors.rabbitmq.retry import Attempts, Retry
from ingestion.spool.writer import SpoolEvent

_ONLY_COPY: Literal["never"] = "never"
"""A queue was deleted with all that it held, or its node went away: what is here may be the only copy."""
_log = structlog.get_logger(__name__)


class Delivery(NamedTuple):
    """A message that the broker has delivered and that nobody has taken yet."""

    event: SpoolEvent
    channel: int
    tag: int


class QueueConsumer:
    """Consumes one queue.

    Args:
        source: The queue, and how it is consumed.
        access: For messages.
        retry: When a queue that is missing or refused is tried again.

    Attributes:
        name: The queue's.
        generation: Counts channels; a delivery's tag is good for the channel that brought it.
        delivered: What has come and was not taken; at most the prefetch.
        redelivered: How many messages the broker has marked as sent before.
        error: Why it does not consume, as one sentence; empty when all is well.
    """

    def __init__(self, source: RabbitSource, access: RabbitAccess, retry: Retry) -> None:
        self.name = source.rabbitmq.name
        self.generation = 0
        self.delivered: deque[Delivery] = deque()
        self.redelivered = 0
        self.error = ""
        self._source, self._access = source, access
        self._attempts = Attempts(retry)
        self._channel: Any = None
        self._cancelled = self._is_stream = False

    @property
    def is_consuming(self) -> bool:
        """Whether the broker delivers to it."""
        return self._channel is not None

    def seconds_until_due(self) -> float:
        """How long the next attempt has to wait."""
        return self._attempts.seconds_until_due()

    def open(self, connection: Any) -> None:
        """Try to consume.

        Raises:
            AMQPConnectionError: The connection is gone.
        """
        channel = None
        try:
            create(connection, self._source)
            channel = connection.channel()
            channel.queue_declare(self.name, passive=True)
            channel.basic_qos(prefetch_count=self._source.prefetch)
            channel.add_on_cancel_callback(self._on_cancel)
            self.generation += 1
            channel.basic_consume(self.name, self._on_message, exclusive=self._source.consumer == "exclusive")
        except exceptions.ChannelClosedByBroker as error:
            self._failed(refused_channel(self._access, self._source.rabbitmq, error))
            return
        self._channel, self._cancelled, self._is_stream, self.error = channel, False, False, ""
        self._attempts.began()

    def lost(self) -> None:
        """The connection is gone: what was not acknowledged comes again."""
        self._channel = None
        self.delivered.clear()

    def look(self) -> Literal["again", "never"] | None:
        """Look whether the channel is still there; returns how what it brought comes again if it is not."""
        if self._channel is None:
            return None
        if self._is_stream:
            self._leave(
                f"{self._access.place}: '{self.name}' is a stream, which is not consumed but read: declare "
                f"it as {{stream: {self.name}}}"
            )
            return None
        if self._cancelled:
            self._leave(
                f"{self._access.place} has ended the consumer of '{self.name}': the queue was deleted, or "
                "its node went away; it is tried again by itself"
            )
            return _ONLY_COPY
        if self._channel.is_open:
            return None
        try:
            self._channel.basic_qos(prefetch_count=self._source.prefetch)  # raises why it was closed
        except exceptions.ChannelClosedByBroker as error:
            sentence = refused_channel(self._access, self._source.rabbitmq, error)
            if error.reply_code == NOT_FOUND:  # `count` saw it before the broker had ended the consumer
                self._leave(sentence)
                return _ONLY_COPY
            self._failed(sentence)
        except exceptions.AMQPError as error:
            self._failed(f"{self._access.place} closed the channel of '{self.name}' ({error})")
        self.lost()
        return "again"

    def acknowledge(self, tag: int) -> None:
        """Acknowledge everything that this channel has brought up to a delivery."""
        if self._channel is not None and not self._cancelled:
            # `look` reports why a channel was closed.
            with suppress(exceptions.ChannelWrongStateError, exceptions.ChannelClosedByBroker):
                self._channel.basic_ack(tag, multiple=True)

    def count(self) -> int | None:
        """How many messages wait at the broker and were not sent ahead; None where that is not known."""
        if self._channel is None:
            return None
        try:
            return int(self._channel.queue_declare(self.name, passive=True).method.message_count)
        except (exceptions.ChannelWrongStateError, exceptions.ChannelClosedByBroker):
            return None

    def _leave(self, error: str) -> None:
        """Give the channel up; what it brought is not acknowledged any more."""
        self.generation += 1
        close(self._channel)
        self._channel = None
        self._failed(error)

    def _failed(self, error: str) -> None:
        if error != self.error:
            _log.warning(error)
        self.error = error
        self._attempts.failed()

    def _on_cancel(self, _frame: Any) -> None:
        self._cancelled = True

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if OFFSET in (properties.headers or {}):
            self._is_stream = True
            return
        self.redelivered += method.redelivered
        headers = headers_of(properties, exchange=method.exchange, redelivered=method.redelivered)
        event = SpoolEvent(key_of(method.routing_key), body, headers, received_now())
        self.delivered.append(Delivery(event, self.generation, method.delivery_tag))
