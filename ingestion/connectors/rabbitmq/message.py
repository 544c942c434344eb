"""AMQP message → what is kept of it: routing key, body, and properties and headers as a JSON object."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pika import BasicProperties

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253_402_300_799  # of the year 9999
_PROPERTIES = (
    "message_id", "correlation_id", "content_type", "content_encoding", "type", "app_id", "user_id",
    "reply_to", "priority", "expiration",
)  # fmt: skip
OFFSET = "x-stream-offset"
"""The header that gives a stream's message its offset; as an argument it says where reading begins."""
_BROKER_MILLISECONDS = "timestamp_in_ms"
"""The header of RabbitMQ's message timestamp interceptor."""


def headers_of(properties: BasicProperties, *, exchange: str, redelivered: bool | None = None) -> str:
    """What came beside key and body, as a JSON object.

    Args:
        properties: Of the message.
        exchange: It was sent to; empty for the default one.
        redelivered: The broker's flag; None for streams, which have none.
    """
    kept: dict[str, Any] = {"exchange": exchange}
    if redelivered is not None:
        kept["redelivered"] = redelivered
    for name in _PROPERTIES:
        value = getattr(properties, name)
        if value is not None:
            kept[name] = value
    if properties.timestamp is not None:
        moment = _moment(properties.timestamp)
        kept["timestamp"] = properties.timestamp if moment is None else moment
    sent = {name: value for name, value in (properties.headers or {}).items() if name != OFFSET}
    if sent:
        kept["headers"] = sent
    return orjson.dumps(kept, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def sent_at(properties: BasicProperties) -> datetime | None:
    """When a message was sent: the broker's stamp, or its sender's; None where there is neither."""
    stamped = (properties.headers or {}).get(_BROKER_MILLISECONDS)
    if isinstance(stamped, int) and 0 <= stamped <= _LAST_SECOND * 1000:
        return _EPOCH + timedelta(milliseconds=int(stamped))
    return None if properties.timestamp is None else _moment(properties.timestamp)


def key_of(routing_key: str | bytes) -> bytes:
    """A routing key as it came; the client gives text where it is UTF-8."""
    return routing_key.encode() if isinstance(routing_key, str) else routing_key


def received_now() -> int:
    """The present in microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


def _moment(seconds: int) -> datetime | None:
    return _EPOCH + timedelta(seconds=int(seconds)) if 0 <= seconds <= _LAST_SECOND else None


def _plain(value: Any) -> Any:
    """What AMQP has and JSON has not: bytes, decimals, and integers of the client's own type."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return "\\x" + value.hex()
    return str(value)
