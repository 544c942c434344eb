"""Sends to queues and streams through the default exchange: a message counts once the broker confirms it."""

import uuid
from collections.abc import Sequence
from typing import Any

from pika import BasicProperties, DeliveryMode, exceptions

from ingestion.connectors.messages import Outgoing
from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.connection import (
    CONNECTION_ERRORS,
    close,
    connect,
    exchange,
    exists,
    translated,
)
from ingestion.connectors.rabbitmq.declare import Place, place_of
from ingestion.errors import ConfigError, SourceUnavailable


class RabbitSender:
    """A publisher with confirms (messages.Sender).

    Args:
        access: How to reach the broker.
        timeout_seconds: Bound of connecting, and of waiting while the broker takes nothing.
    """

    def __init__(self, access: RabbitAccess, *, timeout_seconds: float) -> None:
        self._access, self._timeout = access, timeout_seconds
        self._connection: Any = None
        self._channel: Any = None

    def prepare(self, destination: str, *, create: bool) -> None:
        """Refuse a queue that does not exist, or make it: durable; a quorum queue, or a stream."""
        place = place_of(destination)
        self._open(place)
        with translated(self._access, place):
            if exists(self._connection, place.name):
                return
            if not create:
                what = "stream" if place.stream else "queue"
                raise SourceUnavailable(
                    f"{self._access.place} has no {what} '{place.name}' (--create makes it)"
                )
            kind = "stream" if place.stream else "quorum"
            self._channel.queue_declare(place.name, durable=True, arguments={"x-queue-type": kind})

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send each, and wait for its confirmation."""
        for message in messages:
            place = place_of(message.destination)
            body, properties = _content(message)
            self._open(place)
            try:
                with translated(self._access, place):
                    self._publish(place, body, properties)
            except SourceUnavailable:
                self.close()
                raise

    def close(self) -> None:
        """Leave."""
        close(self._connection)
        self._connection = self._channel = None

    def _open(self, place: Place) -> None:
        if self._connection is not None:
            try:
                exchange(self._connection, seconds=0)
                return
            except CONNECTION_ERRORS:  # between two calls, which may be far apart, the broker gave us up
                self.close()
        self._connection = connect(self._access, "sender", timeout_seconds=self._timeout)
        with translated(self._access, place):
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()

    def _publish(self, place: Place, body: bytes, properties: BasicProperties) -> None:
        try:
            self._channel.basic_publish("", place.name, body, properties, mandatory=True)
        except exceptions.UnroutableError:
            what = "stream" if place.stream else "queue"
            raise SourceUnavailable(f"{self._access.place} has no {what} '{place.name}'; create it") from None
        except exceptions.NackError:
            raise SourceUnavailable(
                f"{self._access.place} could not take a message of '{place.name}'; is the queue full, are "
                "its nodes there? Look at the broker's log"
            ) from None


def _content(message: Outgoing) -> tuple[bytes, BasicProperties]:
    if message.key is not None:
        raise ConfigError("RabbitMQ messages have no key; their routing key is the queue's name here")
    if message.value is None:
        raise ConfigError("RabbitMQ messages have no tombstones: an empty one is an event as any other")
    return message.value, BasicProperties(
        message_id=uuid.uuid4().hex,
        headers=dict(message.headers) or None,
        delivery_mode=DeliveryMode.Persistent,
    )
