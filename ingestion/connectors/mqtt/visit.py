"""A short visit at an MQTT broker: a client id of its own, a session that ends with the connection.

The collector's lasting session is in connection.py. Nothing of a visit touches it.
"""

import select
import time
import uuid
from typing import Any

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.protocol import connect, make_client
from ingestion.connectors.mqtt.retry import refused, unreachable
from ingestion.errors import SourceUnavailable

_TURN_SECONDS = 0.1


class Visit:
    """A connection that is pumped by its caller.

    Args:
        access: Address, credentials and TLS.
        purpose: Part of the client id.
        timeout_seconds: Bound of connecting.
        client_id: Whose session begins again and ends; empty for a name of the visit's own.
        expiry_seconds: With MQTT 5, for how long the session is asked for; `close` ends it all the same.

    Attributes:
        client: The library's client, for callbacks, subscriptions and messages.
        granted: What the broker said when it accepted the connection (MQTT 5).

    Raises:
        ConfigError: No broker is configured, or the certificate file cannot be used.
    """

    def __init__(
        self,
        access: MqttAccess,
        purpose: str,
        *,
        timeout_seconds: float,
        client_id: str = "",
        expiry_seconds: int = 0,
    ) -> None:
        name = client_id or f"{access.client_id}-{purpose}-{uuid.uuid4().hex[:8]}"
        self.granted: Properties | None = None
        self._access, self._timeout, self._expiry = access, timeout_seconds, expiry_seconds
        self._refused, self._ready = "", False
        self.client = make_client(access, name, timeout_seconds=timeout_seconds, passing=True)
        self.client.on_connect = self._on_connect

    def connect(self) -> None:
        """Connect, and wait until the broker has accepted the login.

        Raises:
            SourceUnavailable: It did not, or did not answer in time.
        """
        try:
            connect(self.client, self._access, passing=True, expiry_seconds=self._expiry)
        except (OSError, ValueError) as error:
            raise SourceUnavailable(unreachable(self._access.address, error)) from None
        deadline = time.monotonic() + self._timeout
        while not self._ready:
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"the MQTT broker at {self._access.address} does not answer; is it an MQTT broker, is "
                    "MILLRACE_MQTT_TLS right?"
                )
            self.pump(_TURN_SECONDS)

    def pump(self, timeout_seconds: float) -> None:
        """Exchange what is there, after waiting for it.

        Raises:
            SourceUnavailable: The connection is gone.
        """
        sock = self.client.socket()
        if sock is not None:
            waiting = getattr(sock, "pending", lambda: 0)() > 0
            writing = [sock] if self.client.want_write() else []
            readable, writable, _ = select.select([sock], writing, [], 0 if waiting else timeout_seconds)
            if writable:
                self.client.loop_write()
            if readable or waiting:
                self.client.loop_read()
            self.client.loop_misc()
        if self._refused:
            raise SourceUnavailable(refused(self._access.address, self._refused, self._access.username))
        if self.client.socket() is None:
            raise SourceUnavailable(
                f"the MQTT broker at {self._access.address} closed the connection; look at its log"
            )

    def close(self) -> None:
        """Leave; the broker forgets the session."""
        if self.client.socket() is not None:
            self.client.disconnect(properties=self._at_once())
            while self.client.socket() is not None and self.client.want_write():
                self.client.loop_write()

    def _at_once(self) -> Properties | None:
        """That the session ends with the connection after all."""
        if not self._expiry or not self._access.is_version_5:
            return None
        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        return properties

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            self._refused = str(reason)
        else:
            self._ready, self.granted = True, properties
