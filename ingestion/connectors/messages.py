"""Messages outside the lake: what somebody sees who looks at a source, and what a sender sends.

Nothing here counts or lands anything; how a batch reads is in log/port.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ingestion.log.port import Start


@dataclass(frozen=True)
class Look:
    """How much of a source somebody looks at.

    Attributes:
        limit: Messages at most.
        start: Of a log: `latest` for the last messages, else the first ones from there on. Brokers that keep
            nothing give the next messages only.
        wait_seconds: How long to wait for messages that have not been sent yet.
        timeout_seconds: Bound of connecting and of each answer.
    """

    limit: int = 10
    start: Start = "latest"
    wait_seconds: float = 30.0
    timeout_seconds: float = 20.0


@dataclass(frozen=True)
class Message:
    """One message, as somebody sees it who looks at a source and takes nothing from it.

    Attributes:
        partition: Of the log; empty where the broker keeps none.
        position: In the partition; None where there is none.
        key: As it came; the topic, of brokers whose messages have no key.
        value: As it came; None is a tombstone.
        headers: A JSON object, or None.
        sent_at: The broker's timestamp, or when it was received, UTC; None where there is neither.
        note: What is special about it, in a word; empty otherwise.
    """

    partition: str
    position: int | None
    key: bytes | None
    value: bytes | None
    headers: str | None
    sent_at: datetime | None
    note: str = ""


@dataclass(frozen=True)
class Outgoing:
    """One message to send.

    Attributes:
        destination: Where to, as SourceSpec.destination says.
        value: The payload; None is a tombstone.
        key: None where it has none.
        headers: Name → text.
    """

    destination: str
    value: bytes | None
    key: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Sender(Protocol):
    """Sends to a broker; connected at the first call."""

    def prepare(self, destination: str, *, create: bool) -> None:
        """Make sure that a destination exists, where the broker wants that.

        Args:
            destination: Where messages will go.
            create: Whether to make it when it is missing.

        Raises:
            SourceUnavailable: It is missing, or the broker cannot be reached in time.
        """
        ...

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send; returns once the broker has accepted all of them.

        Raises:
            ConfigError: The broker has no keys, no headers or no tombstones, and a message has one.
            SourceUnavailable: Some were not accepted in time; those may arrive all the same.
        """
        ...

    def close(self) -> None:
        """Leave the broker."""
        ...
