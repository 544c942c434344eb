"""What `millrace doctor` can find out about queues and streams: whether they are there, and what waits.

Whether they are durable, or drop messages, AMQP lets nobody ask.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pika import exceptions

from ingestion.connectors.durability import Reading
from ingestion.connectors.port import Finding
from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.connection import close, connect
from ingestion.connectors.rabbitmq.declare import RabbitSource
from ingestion.connectors.rabbitmq.refusals import NOT_FOUND, refused_channel

_PART = "rabbitmq durability"


def look_at_queues(
    readings: Sequence[Reading], access: RabbitAccess, *, timeout_seconds: float
) -> Iterator[Finding]:
    """A finding for each queue and stream, and what has to be known of all.

    Raises:
        SourceUnavailable: The broker is away, or refuses the login.
    """
    connection = connect(access, "doctor", timeout_seconds=timeout_seconds)
    try:
        for source in dict.fromkeys(reading.source.rabbitmq for reading in readings):
            declared = next(each.source for each in readings if each.source.rabbitmq == source)
            yield _look(declared, access, connection)
    finally:
        close(connection)
    yield Finding(
        _PART, "note",
        "whether queues are durable, how many replicas they have, and whether they drop messages (a length, "
        "a time to live, a delivery limit) AMQP lets nobody ask: 'rabbitmqctl list_queues name type durable "
        "arguments policy' shows it",
    )  # fmt: skip


def _look(source: RabbitSource, access: RabbitAccess, connection: Any) -> Finding:
    place = source.rabbitmq
    channel = connection.channel()
    try:
        found = channel.queue_declare(place.name, passive=True).method
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND and source.create:
            return Finding(_PART, "note", f"{source.origin} is made when it is first used: 'create' says so")
        return Finding(_PART, "problem", refused_channel(access, place, error))
    close(channel)
    if place.stream:
        return Finding(_PART, "ok", f"{source.origin} is there")
    return Finding(
        _PART, "ok",
        f"{source.origin} has {found.message_count:,} message(s) that wait and {found.consumer_count} "
        "consumer(s)",
    )  # fmt: skip
