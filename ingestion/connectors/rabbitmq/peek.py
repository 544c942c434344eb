"""Looks at a stream, which changes nothing; or at a queue: its messages are taken and put back afterwards.

A broker has no other way to show a queue. Nothing is lost, but the messages are marked as redelivered,
consumers do not get them meanwhile, and a quorum queue counts a delivery of each (docs/sources/rabbitmq.md).
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ingestion.connectors.messages import Look, Message
from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.connection import close, connect, exchange, translated
from ingestion.connectors.rabbitmq.declare import RabbitSource
from ingestion.connectors.rabbitmq.log import RabbitStreamLog
from ingestion.connectors.rabbitmq.message import headers_of, key_of, sent_at
from ingestion.errors import ConfigError
from ingestion.log.newest import look_at

_TURN_SECONDS = 0.1
_QUIET_SECONDS = 1.0  # what was shown goes back soon: consumers wait for it


def peek(source: RabbitSource, access: RabbitAccess, look: Look) -> Iterator[Message]:
    """The messages of a stream, or those at a queue's head and that come meanwhile (port.Connector.peek)."""
    if not source.is_collected:
        return _read(source, access, look)
    if look.start != "latest":
        raise ConfigError("a queue shows its first messages only: leave --from out")
    return _take_and_put_back(source, access, look)


def _read(source: RabbitSource, access: RabbitAccess, look: Look) -> Iterator[Message]:
    asked = source.model_copy(update={"create": None, "offset": None})
    log = RabbitStreamLog("", asked, access, timeout_seconds=look.timeout_seconds)
    try:
        for row in look_at(log, limit=look.limit, start=look.start).to_pylist():
            yield Message(*row.values())
    finally:
        log.close()


def _take_and_put_back(source: RabbitSource, access: RabbitAccess, look: Look) -> Iterator[Message]:
    place = source.rabbitmq
    connection = connect(access, "peek", timeout_seconds=look.timeout_seconds)
    try:
        with translated(access, place):
            channel = connection.channel()
            channel.queue_declare(place.name, passive=True)
        deadline, left = time.monotonic() + look.wait_seconds, look.limit
        while left:
            with translated(access, place):
                got = channel.basic_get(place.name)
            if got[0] is not None:
                left -= 1
                deadline = min(deadline, time.monotonic() + _QUIET_SECONDS)
                yield _message(*got)
            elif (remaining := deadline - time.monotonic()) > 0:
                with translated(access, place):
                    exchange(connection, seconds=min(_TURN_SECONDS, remaining))
            else:
                return
    finally:
        close(connection)  # puts back what was not acknowledged


def _message(method: Any, properties: Any, body: bytes) -> Message:
    note = "redelivered" if method.redelivered else ""
    headers = headers_of(properties, exchange=method.exchange, redelivered=method.redelivered)
    moment = sent_at(properties) or datetime.now(UTC)
    return Message("", None, key_of(method.routing_key), body, headers, moment, note)
