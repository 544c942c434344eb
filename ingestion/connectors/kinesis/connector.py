"""Kinesis among the kinds of brokers (connectors/port.py). boto3 is imported when a client is made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingestion.connectors.durability import Reading
from ingestion.connectors.intake import Intake
from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.declare import KinesisSource
from ingestion.connectors.listener import Listener
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.connectors.port import Finding
from ingestion.errors import MillraceError
from ingestion.log.port import Log
from ingestion.spool.log import SpoolLog

_PART = "kinesis"


@dataclass(frozen=True)
class KinesisConnector:
    """Records are collected, and read from the spool: how far is remembered here, not at AWS."""

    kind: str = "kinesis"
    spec: type[KinesisSource] = KinesisSource
    access: type[KinesisAccess] = KinesisAccess
    libraries: tuple[str, ...] = ("boto3",)
    extra: str = "kinesis"
    collector: str = "collector-kinesis"

    def open_log(
        self, name: str, spec: KinesisSource, access: KinesisAccess, *, spool: Path, timeout_seconds: float
    ) -> Log:
        """The stream's spool; Kinesis is not asked."""
        return SpoolLog(name, spool)

    def is_configured(self, access: KinesisAccess) -> bool:
        """Whether a region is named."""
        return bool(access.region)

    def open_listener(
        self,
        sources: Mapping[str, KinesisSource],
        access: KinesisAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
    ) -> Listener:
        """Readers of the shards of all streams."""
        from ingestion.connectors.kinesis.listener import KinesisListener

        return KinesisListener(sources, access, state=state, intake=intake, timeout_seconds=timeout_seconds)

    def examine(self, access: KinesisAccess, *, timeout_seconds: float) -> Iterator[Finding]:
        """Whether Kinesis answers, and lets these credentials in."""
        from ingestion.connectors.kinesis.client import open_client, translated

        if not access.region:
            yield Finding(
                _PART, "problem",
                "Kinesis streams are declared but no region is: set MILLRACE_KINESIS_REGION, or remove the "
                "streams",
            )  # fmt: skip
            return
        try:
            client = open_client(access, timeout_seconds=timeout_seconds)
            with translated(access, client):
                client.list_streams(Limit=1)
        except MillraceError as error:
            yield Finding(_PART, "problem", str(error))
            return
        yield Finding(_PART, "ok", f"{access.address} answers")

    def durability(
        self,
        readings: Sequence[Reading],
        access: KinesisAccess,
        *,
        state: Path,
        now: datetime,
        timeout_seconds: float,
    ) -> Iterator[Finding]:
        """Retention against what was collected."""
        from ingestion.connectors.kinesis.durability import durability

        return durability(readings, access, state=state, now=now, timeout_seconds=timeout_seconds)

    def peek(self, spec: KinesisSource, access: KinesisAccess, look: Look) -> Iterator[Message]:
        """What the data stream holds."""
        from ingestion.connectors.kinesis.peek import peek

        return peek(spec, access, look)

    def open_sender(self, access: KinesisAccess, *, timeout_seconds: float) -> Sender:
        """A producer."""
        from ingestion.connectors.kinesis.send import KinesisSender

        return KinesisSender(access, timeout_seconds=timeout_seconds)

    def identity(self, state: Path) -> str:
        """AWS keeps nothing for this installation."""
        return ""

    def take_over(self, state: Path, identity: str) -> None:
        """Nothing: how far streams were stored is in the data folder."""


KINESIS = KinesisConnector()
