"""Whole messages for docs/values.md, as its cases write them → what a connector hands over."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingestion.connectors.kafka.rows import headers_as_text
from ingestion.connectors.mqtt.message import event_of
from ingestion.log.notation import text_as_bytes
from tests.values.staged import AT

_AT_US = int(AT.timestamp() * 1_000_000)


def kafka_event(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A record: topic, key and value as text (or \\x and digits), headers as pairs."""
    headers = [(name, _bytes(value)) for name, value in sent.get("headers", [])]
    return {
        "source_partition": f"{sent.get('topic', 'orders')}-0",
        "event_key": _bytes(sent.get("key")),
        "value": _bytes(sent.get("value", "{}")),
        "headers": headers_as_text(headers),
    }


def mqtt_event(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A message: topic and value, user properties as pairs, a content type."""
    properties = Properties(PacketTypes.PUBLISH)
    if "user_properties" in sent:
        properties.UserProperty = [tuple(pair) for pair in sent["user_properties"]]
    if "content_type" in sent:
        properties.ContentType = sent["content_type"]
    message: Any = SimpleNamespace(
        topic=sent["topic"], payload=_bytes(sent.get("value", "{}")), qos=1, retain=False, dup=False,
        properties=properties,
    )  # fmt: skip
    event = event_of(message, _AT_US)
    return {"event_key": event.key, "value": event.value, "headers": event.headers}


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text_as_bytes(text)
