"""Kafka among the kinds of brokers (connectors/port.py). Its client is imported when a log is opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.connectors.durability import Reading
from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.connectors.kafka.declare import KafkaSource
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.connectors.port import Finding
from ingestion.errors import ConfigError
from ingestion.log.port import Log
from ingestion.project import DISTRIBUTION

if TYPE_CHECKING:
    from ingestion.connectors.kafka.log import KafkaLog


@dataclass(frozen=True)
class KafkaConnector:
    """Topics are logs: positions are offsets, the broker keeps the events."""

    kind: str = "kafka"
    spec: type[KafkaSource] = KafkaSource
    access: type[KafkaAccess] = KafkaAccess
    libraries: tuple[str, ...] = ("kafka",)
    extra: str = ""

    def open_log(
        self, name: str, spec: KafkaSource, access: KafkaAccess, *, spool: Path, timeout_seconds: float
    ) -> Log:
        """A stream's topics, through the client that MILLRACE_KAFKA_CLIENT names."""
        return _client(access)(name, spec, access, timeout_seconds=timeout_seconds)

    def examine(self, access: KafkaAccess, *, timeout_seconds: float) -> Iterator[Finding]:
        """Nothing: each stream's log is asked for its bounds, which shows all there is."""
        yield from ()

    def durability(
        self,
        readings: Sequence[Reading],
        access: KafkaAccess,
        *,
        state: Path,
        now: datetime,
        timeout_seconds: float,
    ) -> Iterator[Finding]:
        """Copies, elections, and retention against what is unread; its clock cannot be asked."""
        from ingestion.connectors.kafka.durability import ask, judge

        topics = sorted({name.rpartition("-")[0] for reading in readings for name in reading.bounds})
        if topics:
            kept, sizes = ask(topics, access, timeout_seconds=timeout_seconds)
            yield from judge(readings, kept, sizes, now=now)

    def peek(self, spec: KafkaSource, access: KafkaAccess, look: Look) -> Iterator[Message]:
        """Messages that the topics hold."""
        from ingestion.connectors.kafka.peek import peek

        return peek(spec, access, look)

    def open_sender(self, access: KafkaAccess, *, timeout_seconds: float) -> Sender:
        """A producer that waits for all replicas in sync."""
        from ingestion.connectors.kafka.send import KafkaSender

        return KafkaSender(access, timeout_seconds=timeout_seconds)


def _client(access: KafkaAccess) -> type["KafkaLog"]:
    """The client that is named, or the fastest one that is installed."""
    installed = find_spec("confluent_kafka") is not None
    if access.client == "librdkafka" and not installed:
        raise ConfigError(
            "MILLRACE_KAFKA_CLIENT=librdkafka needs the package confluent-kafka: install "
            f"'{DISTRIBUTION}[fast]', or set kafka-python"
        )
    if installed and access.client != "kafka-python":
        from ingestion.connectors.kafka.librdkafka import LibrdkafkaLog

        return LibrdkafkaLog
    from ingestion.connectors.kafka.log import KafkaLog

    return KafkaLog


KAFKA = KafkaConnector()
