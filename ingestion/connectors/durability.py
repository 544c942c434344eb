"""What the promise rests on at a broker, for `millrace doctor`: a kind that can find something out says it.

How far streams are is asked in watch/reading.py; who says what: the rooms of the kinds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ingestion.connectors.port import Connector, Finding
from ingestion.log.port import Bounds, Window


@dataclass(frozen=True)
class Reading:
    """How far a stream is with its log.

    Attributes:
        stream: Its name.
        source: Its declaration.
        bounds: Partition → what the log holds; empty where it did not answer.
        unread: Partition → what of it is not in the lake; only those with something.
        oldest: Partition → when its first unread event came (UTC); left out where that is not known.
        events_per_second: How fast batches took events in lately; None where there was none.
    """

    stream: str
    source: Any
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    unread: Mapping[str, Window] = field(default_factory=dict)
    oldest: Mapping[str, datetime] = field(default_factory=dict)
    events_per_second: float | None = None


@runtime_checkable
class DurableConnector(Connector, Protocol):
    """A kind that can find out what its broker may forget or drop before the lake has it."""

    def durability(
        self,
        readings: Sequence[Reading],
        access: Any,
        *,
        state: Path,
        now: datetime,
        timeout_seconds: float,
    ) -> Iterator[Finding]:
        """Say what the promise is worth at this broker: what keeps it, what breaks it, what nobody can ask.

        A problem is what may lose an acknowledged event, with the remedy. A note is what has to be known.

        Args:
            readings: The kind's declared streams, one or more.
            access: How the broker is reached.
            state: The folder of the kind's listener, if it has one; nothing is written there.
            now: UTC.
            timeout_seconds: Bound of each call.

        Raises:
            SourceUnavailable: The broker is away, or refuses to answer.
        """
        ...


def listed(names: Iterable[str], *, most: int = 4) -> str:
    """Names in a sentence: the first of many, and how many more there are."""
    ordered = sorted(names)
    rest = len(ordered) - most
    return ", ".join(ordered[:most]) + (f" and {rest} more" if rest > 0 else "")


def span(seconds: float) -> str:
    """A duration in a sentence, in the unit that suits it."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
