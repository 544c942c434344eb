"""MQTT message → spool event: topic as the key, payload as it came, the rest as a JSON object."""

import time
from functools import lru_cache
from typing import Any, Protocol

import orjson

from ingestion.spool.writer import SpoolEvent


class MqttMessage(Protocol):
    """What the MQTT library hands over."""

    mid: int
    qos: int
    retain: bool
    dup: bool
    payload: bytes | bytearray
    properties: Any

    @property
    def topic(self) -> str:
        """Raises UnicodeDecodeError where the broker let an invalid one pass."""
        ...


def event_of(message: MqttMessage, received_us: int) -> SpoolEvent:
    """The event that a message is; an empty payload is a null value.

    Args:
        message: As delivered, MQTT 3.1.1 or 5.
        received_us: Microseconds since 1970 UTC.
    """
    value = bytes(message.payload) or None  # clears a retained message: MQTT's tombstone
    return SpoolEvent(message.topic.encode(), value, _headers(message), received_us)


def received_now() -> int:
    """The present as `event_of` takes it."""
    return time.time_ns() // 1_000


def _headers(message: MqttMessage) -> str:
    content_type = getattr(message.properties, "ContentType", None)
    user_properties = getattr(message.properties, "UserProperty", None)
    if content_type is None and not user_properties:
        return _plain(message.qos, message.retain, message.dup)
    headers: dict[str, object] = {"qos": message.qos, "retain": message.retain, "dup": message.dup}
    if content_type is not None:
        headers["content_type"] = content_type
    if user_properties:
        # A name may come more than once, so pairs and not an object.
        headers["user_properties"] = user_properties
    return orjson.dumps(headers).decode()


@lru_cache(maxsize=16)
def _plain(qos: int, retain: bool, dup: bool) -> str:
    return orjson.dumps({"qos": qos, "retain": retain, "dup": dup}).decode()
