"""RabbitMQ among the kinds of brokers (connectors/port.py). Its client is imported when it is used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ingestion.connectors.durability import Reading
from ingestion.connectors.intake import Intake
from ingestion.connectors.listener import Listener
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.connectors.port import Finding
from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.declare import RabbitSource
from ingestion.connectors.rabbitmq.retry import Retry
from ingestion.errors import SourceUnavailable
from ingestion.log.port import Log
from ingestion.spool.log import SpoolLog

_PART = "rabbitmq broker"


@dataclass(frozen=True)
class RabbitConnector:
    """Queues are collected: acknowledged after the spool's fsync, and read from the spool. Streams are logs.

    Attributes:
        retry: Waits between connections.
    """

    kind: str = "rabbitmq"
    spec: type[RabbitSource] = RabbitSource
    access: type[RabbitAccess] = RabbitAccess
    libraries: tuple[str, ...] = ("pika",)
    extra: str = "rabbitmq"
    collector: str = "collector-rabbitmq"
    retry: Retry = field(default_factory=Retry)

    def open_log(
        self, name: str, spec: RabbitSource, access: RabbitAccess, *, spool: Path, timeout_seconds: float
    ) -> Log:
        """A queue's spool, or the stream itself."""
        if spec.is_collected:
            return SpoolLog(name, spool)
        from ingestion.connectors.rabbitmq.log import RabbitStreamLog

        return RabbitStreamLog(name, spec, access, timeout_seconds=timeout_seconds)

    def is_configured(self, access: RabbitAccess) -> bool:
        """Whether a broker is named."""
        return bool(access.host)

    def open_listener(
        self,
        sources: Mapping[str, RabbitSource],
        access: RabbitAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
    ) -> Listener:
        """One connection for all queues."""
        from ingestion.connectors.rabbitmq.listener import RabbitListener

        return RabbitListener(
            sources, access, intake=intake, timeout_seconds=timeout_seconds, retry=self.retry
        )

    def examine(self, access: RabbitAccess, *, timeout_seconds: float) -> Iterator[Finding]:
        """Whether the broker lets us in."""
        if not access.host:
            yield Finding(
                _PART, "problem",
                "RabbitMQ streams are declared but no broker is: set MILLRACE_RABBITMQ_HOST, or remove them",
            )  # fmt: skip
            return
        from ingestion.connectors.rabbitmq.connection import close, connect

        try:
            close(connect(access, "doctor", timeout_seconds=timeout_seconds))
        except SourceUnavailable as error:
            yield Finding(_PART, "problem", str(error))
            return
        yield Finding(_PART, "ok", f"{access.place} lets user '{access.username}' in")

    def durability(
        self,
        readings: Sequence[Reading],
        access: RabbitAccess,
        *,
        state: Path,
        now: datetime,
        timeout_seconds: float,
    ) -> Iterator[Finding]:
        """Whether each queue and stream is there, and what waits in it."""
        from ingestion.connectors.rabbitmq.durability import look_at_queues

        yield from look_at_queues(readings, access, timeout_seconds=timeout_seconds)

    def peek(self, spec: RabbitSource, access: RabbitAccess, look: Look) -> Iterator[Message]:
        """The first messages of a queue, which go back to it."""
        from ingestion.connectors.rabbitmq.peek import peek

        return peek(spec, access, look)

    def open_sender(self, access: RabbitAccess, *, timeout_seconds: float) -> Sender:
        """A client that waits for the broker's confirmation of each message."""
        from ingestion.connectors.rabbitmq.send import RabbitSender

        return RabbitSender(access, timeout_seconds=timeout_seconds)

    def identity(self, state: Path) -> str:
        """Nothing: a queue's name is in streams.yml."""
        return ""

    def take_over(self, state: Path, identity: str) -> None:
        """Nothing."""


RABBITMQ = RabbitConnector()
