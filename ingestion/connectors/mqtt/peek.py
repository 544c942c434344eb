"""Looks at topics as one more subscriber: without a session, without a group, unseen by the collector."""

import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.reasoncodes import ReasonCode

from ingestion.connectors.messages import Look, Message
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.message import MqttMessage, event_of, received_now
from ingestion.connectors.mqtt.retry import refused_subscription
from ingestion.connectors.mqtt.visit import Visit
from ingestion.errors import ConfigError, SourceUnavailable

_TURN_SECONDS = 0.2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def peek(source: MqttSource, access: MqttAccess, look: Look) -> Iterator[Message]:
    """The next messages under a filter, and those that the broker retains (port.Connector.peek)."""
    if look.start != "latest":
        raise ConfigError("an MQTT broker keeps no messages to look back at: leave --from out")
    return _listen(source, access, look)


def _listen(source: MqttSource, access: MqttAccess, look: Look) -> Iterator[Message]:
    arrived: deque[Message] = deque()
    refusals: list[str] = []

    def take(_client: Client, _data: Any, message: MqttMessage) -> None:
        arrived.append(_message(message))

    def answered(_client: Client, _data: Any, _asked: int, reasons: list[ReasonCode], _: Any) -> None:
        refusals.extend(str(reason) for reason in reasons if reason.is_failure)

    visit = Visit(access, "peek", timeout_seconds=look.timeout_seconds)
    visit.client.on_message, visit.client.on_subscribe = take, answered
    try:
        visit.connect()
        visit.client.subscribe(source.topics, source.qos)
        deadline, left = time.monotonic() + look.wait_seconds, look.limit
        while left and (remaining := deadline - time.monotonic()) > 0:
            visit.pump(min(_TURN_SECONDS, remaining))
            if refusals:
                user, reason = access.username, refusals[0]
                raise SourceUnavailable(
                    refused_subscription(access.address, source.topics, reason=reason, user=user)
                )
            while arrived and left:
                yield arrived.popleft()
                left -= 1
    finally:
        visit.close()


def _message(message: MqttMessage) -> Message:
    try:
        event = event_of(message, received_now())
    except UnicodeDecodeError:
        return Message("", None, None, bytes(message.payload), None, None, note="invalid topic")
    moment = _EPOCH + timedelta(microseconds=event.received_us)
    note = "retained" if message.retain else "" if event.value else "tombstone"
    return Message("", None, event.key, event.value, event.headers, moment, note)
