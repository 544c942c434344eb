"""What an MQTT client says about itself, in MQTT 3.1.1 and in 5: who it is, what session it wants.

When it does so, and what happens afterwards, is in connection.py.
"""

import socket
import ssl
from typing import Any

import paho.mqtt.properties
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.topics import Subscription
from ingestion.errors import ConfigError

KEEPALIVE_SECONDS = 60
CONNECT_SECONDS = 5.0
SESSION_NEVER_EXPIRES = 0xFFFFFFFF
"""What MQTT 5 writes for it, in seconds."""


def _read_text(buffer: bytes, most: int) -> tuple[str, int]:
    """A property's text and how many bytes it took (MQTT 5, 1.5.4); what is not UTF-8 becomes U+FFFD.

    The library's own gives up the connection over U+FEFF, which the standard allows: the broker would send
    that message again after each reconnection, and nothing after it would ever arrive.
    """
    size = int.from_bytes(buffer[:2], "big")
    if most < 2 + size:
        raise MalformedPacket("a text is longer than its packet")
    return bytes(buffer[2 : 2 + size]).decode("utf-8", "replace"), 2 + size


paho.mqtt.properties.readUTF = _read_text


def make_client(
    access: MqttAccess, client_id: str, *, timeout_seconds: float, passing: bool = False
) -> Client:
    """A client that acknowledges by hand and whose session the broker keeps.

    Args:
        access: Address, credentials and TLS.
        client_id: Who it is.
        timeout_seconds: Bound of opening the connection.
        passing: The session ends with the connection, and the library acknowledges.

    Raises:
        ConfigError: No host, or the certificate file cannot be used.
    """
    if not access.host:
        what = "no MQTT broker is configured" if passing else "so MQTT streams cannot be collected"
        raise ConfigError(f"MILLRACE_MQTT_HOST is not set, {what}; set it in .env")
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if access.is_version_5 else passing,
        protocol=MQTTProtocolVersion.MQTTv5 if access.is_version_5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=not passing,
    )
    client.connect_timeout = min(CONNECT_SECONDS, timeout_seconds)
    client.on_socket_open = _send_at_once
    if access.username:
        password = access.password
        client.username_pw_set(access.username, password.get_secret_value() if password else None)
    if access.tls:
        try:
            client.tls_set_context(ssl.create_default_context(cafile=access.ca_file))
        except OSError as error:
            raise ConfigError(
                f"the certificate file {access.ca_file} cannot be used ({error});"
                " correct MILLRACE_MQTT_CA_FILE"
            ) from None
    return client


def connect(
    client: Client, access: MqttAccess, *, passing: bool = False, expiry_seconds: int | None = None
) -> None:
    """Open the socket and ask for the session.

    Args:
        client: As make_client made it.
        access: The broker's address.
        passing: As there.
        expiry_seconds: With MQTT 5, how long the session shall outlive the connection; None: not at all when
            it is passing, else for ever.

    Raises:
        OSError: The broker cannot be reached, or TLS failed.
    """
    host, port = str(access.host), access.port
    if access.is_version_5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        usual = 0 if passing else SESSION_NEVER_EXPIRES
        properties.SessionExpiryInterval = usual if expiry_seconds is None else expiry_seconds
        properties.ReceiveMaximum = access.max_inflight
        client.connect(host, port, KEEPALIVE_SECONDS, clean_start=passing, properties=properties)
    else:
        client.connect(host, port, KEEPALIVE_SECONDS)


def subscribe(client: Client, access: MqttAccess, subscription: Subscription) -> int | None:
    """Ask for a subscription; returns the id that the broker's answer will carry."""
    if access.is_version_5:
        # Retained messages only where the broker did not hold the subscription: repeating it costs nothing.
        new_only = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        options = SubscribeOptions(qos=subscription.qos, retainHandling=new_only)
        return client.subscribe(subscription.filter, options=options)[1]
    return client.subscribe(subscription.filter, subscription.qos)[1]


def _send_at_once(_client: Client, _data: object, sock: Any) -> None:
    """Acknowledgements are small, and the broker waits for them."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
