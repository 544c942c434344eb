"""MQTT among the kinds of brokers (connectors/port.py). Its client is imported when a listener is made."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ingestion.connectors.durability import Reading
from ingestion.connectors.intake import Intake
from ingestion.connectors.listener import Listener
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.connectors.mqtt import session
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.retry import Retry
from ingestion.connectors.port import Finding
from ingestion.log.port import Log
from ingestion.spool.log import SpoolLog, collectors_of
from ingestion.spool.several import SpoolLogs

_PART = "mqtt broker"


@dataclass(frozen=True)
class MqttConnector:
    """Messages are collected: acknowledged after the spool's fsync, and read from the spool.

    Attributes:
        retry: Waits between connections.
    """

    kind: str = "mqtt"
    spec: type[MqttSource] = MqttSource
    access: type[MqttAccess] = MqttAccess
    libraries: tuple[str, ...] = ("paho.mqtt.client",)
    extra: str = ""
    collector: str = "collector"
    retry: Retry = field(default_factory=Retry)

    def open_log(
        self, name: str, spec: MqttSource, access: MqttAccess, *, spool: Path, timeout_seconds: float
    ) -> Log:
        """The stream's spool, and those of the collectors that share its messages; no broker is asked."""
        numbers = set(collectors_of(name, spool)) | {0}  # what one has stored is read, whatever is wanted now
        others: list[SpoolLog] = []
        if spec.is_shared:
            numbers |= set(range(access.collectors))
            others = [
                SpoolLog(name, folder / "spool", collector=each) for each, folder in access.further.items()
            ]
        logs = [SpoolLog.of_collector(name, spool, number) for number in sorted(numbers)]
        return SpoolLogs([*logs, *others]) if len(logs) + len(others) > 1 else logs[0]

    def collectors(self, access: MqttAccess) -> int:
        """MILLRACE_MQTT_COLLECTORS."""
        return access.collectors

    def is_configured(self, access: MqttAccess) -> bool:
        """Whether a broker is named."""
        return bool(access.host)

    def open_listener(
        self,
        sources: Mapping[str, MqttSource],
        access: MqttAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
    ) -> Listener:
        """A session with the broker, for all streams together."""
        from ingestion.connectors.mqtt.listener import MqttListener

        return MqttListener(
            sources, access, state=state, intake=intake, timeout_seconds=timeout_seconds, retry=self.retry
        )

    def examine(self, access: MqttAccess, *, timeout_seconds: float) -> Iterator[Finding]:
        """Whether the broker accepts connections; only the collector knows whether it accepts the login."""
        if not access.host:
            yield Finding(
                _PART, "problem",
                "MQTT streams are declared but no broker is: set MILLRACE_MQTT_HOST, or remove the streams",
            )  # fmt: skip
            return
        try:
            socket.create_connection((access.host, access.port), timeout=timeout_seconds).close()
        except OSError as error:
            yield Finding(
                _PART, "problem",
                f"the MQTT broker at {access.address} does not answer ({error.strerror or error}): is it "
                "running, are MILLRACE_MQTT_HOST and MILLRACE_MQTT_PORT right?",
            )  # fmt: skip
            return
        yield Finding(_PART, "ok", f"{access.address} accepts connections")

    def durability(
        self,
        readings: Sequence[Reading],
        access: MqttAccess,
        *,
        state: Path,
        now: datetime,
        timeout_seconds: float,
    ) -> Iterator[Finding]:
        """What the broker grants, and whether it still knew sessions after a restart."""
        if access.host:
            from ingestion.connectors.mqtt.durability import ask, judge
            from ingestion.connectors.mqtt.history import read_history

            granted = ask(access, timeout_seconds=timeout_seconds)
            yield from judge(readings, granted, read_history(state, access.address), access)

    def peek(self, spec: MqttSource, access: MqttAccess, look: Look) -> Iterator[Message]:
        """The messages that come next, and the retained ones."""
        from ingestion.connectors.mqtt.peek import peek

        return peek(spec, access, look)

    def open_sender(self, access: MqttAccess, *, timeout_seconds: float) -> Sender:
        """A client that publishes at QoS 1."""
        from ingestion.connectors.mqtt.send import MqttSender

        return MqttSender(access, timeout_seconds=timeout_seconds)

    def identity(self, state: Path) -> str:
        """The client id under which the broker keeps the session."""
        return session.known_client_id(state)

    def take_over(self, state: Path, identity: str) -> None:
        """Go on with another installation's session."""
        session.take_over(state, identity)


MQTT = MqttConnector()
