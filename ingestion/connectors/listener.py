"""What listens to senders that wait for an acknowledgement. How to write one: docs/extending.md."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ingestion.connectors.intake import Receipt


@dataclass(frozen=True)
class ListenerStatus:
    """How a listener is.

    Attributes:
        address: Of the broker, or where it listens.
        connected: It is in contact with the broker.
        ready: It receives everything that is declared.
        error: What is wrong now, as one sentence; empty when all is well.
        warning: What was lost or is in danger, as one sentence; empty otherwise.
        figures: Further figures under names of the kind's own, for status.json.
    """

    address: str
    connected: bool
    ready: bool
    error: str = ""
    warning: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)


class Listener(Protocol):
    """Listens to senders that wait for an acknowledgement; keeps no event, runs in its caller's thread."""

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        """Wait for senders, then hand over what is there while `more(lane)`; connect first where that is due.

        Args:
            timeout_seconds: How long to wait.
            more: Whether a lane may take another event.
        """
        ...

    def acknowledge(self, receipts: Iterable[Receipt]) -> None:
        """Acknowledge events that are durable; of each lane in the order in which they were taken."""
        ...

    def status(self) -> ListenerStatus:
        """How it is now."""
        ...

    def close(self) -> None:
        """Send what is queued and leave; what is not acknowledged will be sent again."""
        ...
