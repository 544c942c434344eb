"""MQTT messages → events for streams, and acknowledgements back; over a session that outlives connections.

The session itself is in connection.py, which topic is for which stream in topics.py.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from ingestion.connectors.mqtt import drops
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.connection import MqttConnection
from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.drops import DropCounter
from ingestion.connectors.mqtt.message import MqttMessage, event_of, identifiers_of, received_now
from ingestion.connectors.mqtt.retry import Retry
from ingestion.connectors.mqtt.session import SessionFile, session_file
from ingestion.connectors.mqtt.topics import Router
from ingestion.connectors.port import Intake, ListenerStatus
from ingestion.spool.writer import SpoolEvent

_log = structlog.get_logger(__name__)


class MqttReceipt(NamedTuple):
    """Which message of which connection to acknowledge; QoS 0 has the message id 0 and needs none."""

    connection: int
    message_id: int


class MqttListener:
    """Listens to one broker for several streams (connectors/port.py).

    Args:
        sources: Stream's name → its source.
        access: How the broker is reached.
        state: The folder for the session and the count of drops.
        intake: Takes the events.
        timeout_seconds: Bound of an attempt to connect.
        retry: Waits between connections.

    Attributes:
        connection: The broker's side.

    Raises:
        ConfigError: No broker is configured, or the certificate file cannot be used.
        StorageError: The session's file cannot be read or written.
    """

    def __init__(
        self,
        sources: Mapping[str, MqttSource],
        access: MqttAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
        retry: Retry,
    ) -> None:
        self._router = Router(sources)
        self._intake = intake
        self._connections = 0
        self.connection = MqttConnection(
            access,
            SessionFile(session_file(state), access.client_id),
            subscriptions=self._router.subscriptions,
            on_message=self._take,
            watch="" if self._router.route(drops.TOPIC) else drops.TOPIC,
            timeout_seconds=timeout_seconds,
            retry=retry,
        )
        self._drops = DropCounter(state / "drops.json", access.address)

    def pump(self, timeout_seconds: float, *, more: Callable[[], bool]) -> None:
        """Take in messages; after a reconnection first settle what the broker sends again."""
        self.connection.pump(timeout_seconds, more=more)
        if self.connection.generation != self._connections:
            self._connections = self.connection.generation
            self._connected_again()

    def acknowledge(self, receipts: Iterable[MqttReceipt]) -> None:
        """Acknowledge what this connection brought; what an earlier one brought is sent again anyway."""
        current = self.connection.generation
        self.connection.acknowledge(
            receipt.message_id for receipt in receipts if receipt.connection == current and receipt.message_id
        )

    def status(self) -> ListenerStatus:
        """The connection's state, and what the broker dropped."""
        connection = self.connection
        return ListenerStatus(
            address=connection.address,
            connected=connection.connected,
            ready=connection.subscribed,
            error=connection.error,
            warning=self._drops.warning,
            figures={
                "connections": connection.generation,
                "sessions_lost": connection.sessions_lost,
                "dropped": self._drops.dropped,
                "refused_subscriptions": dict(connection.refused),
            },
        )

    def close(self) -> None:
        """Leave; the broker keeps the session."""
        self.connection.close()

    def _connected_again(self) -> None:
        """The broker sends again what is unacknowledged; if it forgot the session, ours is the only copy."""
        current, forgotten = self._connections, not self.connection.session_present

        def revised(receipt: MqttReceipt) -> MqttReceipt | None:
            if receipt.connection == current or not receipt.message_id:
                return receipt
            return receipt._replace(message_id=0) if forgotten else None

        self._intake.revise(revised)

    def _take(self, message: MqttMessage) -> None:
        try:
            event = event_of(message, received_now())
            streams = self._router.route(message.topic, identifiers_of(message))
        except UnicodeDecodeError:
            event, streams = SpoolEvent(b"", None, None, received_now()), ()
        if not streams and event.key == drops.TOPIC.encode():
            if self._drops.saw(event.value or b""):
                _log.warning(self._drops.warning)
            return
        message_id = message.mid if message.qos else 0
        self._intake.take(event, streams, receipt=MqttReceipt(self.connection.generation, message_id))
