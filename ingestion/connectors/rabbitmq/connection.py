"""A connection to RabbitMQ for one thread, and what is asked of a queue before it is used."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pika import BlockingConnection, exceptions

from ingestion.connectors.rabbitmq.access import RabbitAccess, parameters
from ingestion.connectors.rabbitmq.declare import Place, RabbitSource
from ingestion.connectors.rabbitmq.refusals import (
    NOT_FOUND,
    not_connected,
    refused_channel,
    refused_connection,
)
from ingestion.errors import SourceMissing, SourceUnavailable

CONNECTION_ERRORS = (exceptions.AMQPConnectionError, exceptions.ConnectionWrongStateError, OSError)


def connect(access: RabbitAccess, purpose: str, *, timeout_seconds: float, who: str = "") -> Any:
    """Connect.

    Args:
        access: Address and credentials.
        purpose: Part of the connection's name.
        timeout_seconds: Bound of it.
        who: The beginning of the sentence where that fails.

    Raises:
        ConfigError: The access is incomplete.
        SourceUnavailable: The broker is away, or refuses.
    """
    options = parameters(access, purpose, timeout_seconds=timeout_seconds)
    try:
        return BlockingConnection(options)
    except (*CONNECTION_ERRORS, exceptions.AMQPError) as error:
        raise SourceUnavailable(who + not_connected(access, error)) from None


def exchange(connection: Any, *, seconds: float) -> None:
    """Take in what comes within a time, and call whom it is for.

    Raises:
        AMQPConnectionError, ConnectionWrongStateError: The connection is gone.
    """
    if not connection.is_open:  # pika raises a ValueError of its timers then
        raise exceptions.ConnectionWrongStateError("the connection was lost")
    connection.process_data_events(time_limit=seconds)


@contextmanager
def translated(access: RabbitAccess, place: Place, *, who: str = "") -> Iterator[None]:
    """The client's errors → SourceUnavailable.

    Args:
        access: How the broker is reached.
        place: What is asked for.
        who: The beginning of the sentence.
    """
    try:
        yield
    except exceptions.ChannelClosedByBroker as error:
        kind = SourceMissing if error.reply_code == NOT_FOUND else SourceUnavailable
        raise kind(who + refused_channel(access, place, error)) from None
    except (*CONNECTION_ERRORS, exceptions.AMQPError) as error:
        raise SourceUnavailable(who + refused_connection(access, place, error)) from None


def exists(connection: Any, name: str) -> bool:
    """Whether there is a queue of this name, of any type.

    Raises:
        ChannelClosedByBroker: The user may not see it.
    """
    channel = connection.channel()
    try:
        channel.queue_declare(name, passive=True)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return False
        raise
    close(channel)
    return True


def count(connection: Any, name: str) -> int:
    """How many messages a queue counts; of a stream it is some seconds old.

    Raises:
        ChannelClosedByBroker: There is no such queue, or the user may not see it.
    """
    channel = connection.channel()
    found = channel.queue_declare(name, passive=True)
    close(channel)
    return int(found.method.message_count)


def create(connection: Any, source: RabbitSource) -> None:
    """Make a queue that is missing, with its exchanges and bindings: only what the source asks for."""
    name = source.rabbitmq.name
    if source.create is None or exists(connection, name):
        return
    channel = connection.channel()
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": source.create})
    for exchange, keys in source.bind.items():
        if source.exchange_type is not None:
            channel.exchange_declare(exchange, source.exchange_type, durable=True)
        for key in keys:
            channel.queue_bind(name, exchange, key)
    close(channel)


def close(opened: Any) -> None:
    """Close a channel or a connection; one that is gone already is closed."""
    with suppress(exceptions.AMQPError, OSError):
        if opened is not None and opened.is_open:
            opened.close()
