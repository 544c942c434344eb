"""Publishes MQTT messages: one counts as sent once the broker has acknowledged it (QoS 1)."""

import time
from collections.abc import Sequence
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingestion.connectors.messages import Outgoing
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.visit import Visit
from ingestion.errors import ConfigError, SourceUnavailable

_AT_ONCE = 100
_TURN_SECONDS = 0.1


class MqttSender:
    """A publisher (messages.Sender).

    Args:
        access: Address, credentials and TLS.
        timeout_seconds: Bound of connecting and of each acknowledgement.

    Raises:
        ConfigError: No broker is configured, or the certificate file cannot be used.
    """

    def __init__(self, access: MqttAccess, *, timeout_seconds: float) -> None:
        self._access, self._timeout = access, timeout_seconds
        self._visit = self._enter()
        self._connected = False
        self._waiting: set[int] = set()
        self._refused = ""

    def prepare(self, destination: str, *, create: bool) -> None:
        """Connect; topics need not be made."""
        if self._connected:
            try:
                self._visit.pump(0)
                return
            except SourceUnavailable:  # between two calls, which may be far apart, the broker gave us up
                self._visit = self._enter()
        self._visit.connect()
        self._connected = True

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Publish, and wait for the acknowledgement of each."""
        self.prepare("", create=False)
        for message in messages:
            self._publish(message)
            if len(self._waiting) >= _AT_ONCE:
                self._settle(below=_AT_ONCE)
        self._settle(below=1)

    def close(self) -> None:
        """Leave."""
        self._visit.close()

    def _enter(self) -> Visit:
        visit = Visit(self._access, "send", timeout_seconds=self._timeout)
        visit.client.max_inflight_messages_set(_AT_ONCE)
        visit.client.on_publish = self._on_publish
        return visit

    def _publish(self, message: Outgoing) -> None:
        if message.key is not None:
            raise ConfigError("MQTT messages have no key; their topic takes its place")
        if message.headers and not self._access.is_version_5:
            raise ConfigError("only MQTT 5 has headers: set MILLRACE_MQTT_PROTOCOL=5, or send none")
        properties = None
        if message.headers:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = list(message.headers.items())
        handed = self._visit.client.publish(
            message.destination, message.value or b"", 1, properties=properties
        )
        self._waiting.add(handed.mid)

    def _settle(self, *, below: int) -> None:
        """Wait until fewer messages than this are unacknowledged."""
        deadline = time.monotonic() + self._timeout
        while len(self._waiting) >= below:
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"the MQTT broker at {self._access.address} has not acknowledged {len(self._waiting)} "
                    f"messages within {self._timeout:g} s; look at its log"
                )
            self._visit.pump(_TURN_SECONDS)
            if self._refused:
                raise SourceUnavailable(
                    f"the MQTT broker at {self._access.address} refused a message ({self._refused}); allow "
                    f"'{self._access.username or 'anonymous'}' to publish there"
                )

    def _on_publish(
        self, _client: Client, _data: Any, message_id: int, reason: ReasonCode, _properties: Any
    ) -> None:
        self._waiting.discard(message_id)
        if reason.is_failure:
            self._refused = str(reason)
