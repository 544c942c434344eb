"""The last visit at a removed stream's session: once what the broker queued is stored, the session ends."""

import time

from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.connection import MqttConnection
from ingestion.connectors.mqtt.visit import Visit

QUIET_SECONDS = 2.0
"""Without a message for so long, although everything was acknowledged, a session is taken to be empty."""


def is_drained(connection: MqttConnection) -> bool:
    """Whether a session has left all filters and brings nothing more."""
    return connection.subscribed and time.monotonic() - connection.heard_at > QUIET_SECONDS


def end_session(access: MqttAccess, client_id: str, *, timeout_seconds: float) -> None:
    """Have the broker forget a session; nobody is connected with its client id.

    Raises:
        SourceUnavailable: It cannot be reached, or refuses.
    """
    visit = Visit(access, "farewell", timeout_seconds=timeout_seconds, client_id=client_id)
    visit.connect()
    visit.close()
