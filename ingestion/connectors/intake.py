"""What takes a listener's events until they are durable (listener.py); the collector is one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ingestion.connectors.marts import MartReader
from ingestion.spool.guarded import Held
from ingestion.spool.lanes import Place, Placed
from ingestion.spool.reader import OlderSegments, Stretch
from ingestion.spool.writer import SpoolEvent

Receipt = Any
"""What a listener needs to acknowledge one event; opaque to everybody else."""
NOBODY: Receipt = "nobody"
"""The receipt of an event that nobody will send again: it is stored even if its listener fails, and
never comes back to it."""


@dataclass(frozen=True)
class Whereabouts:
    """Where events are that were stored.

    Attributes:
        first: Position of the first one, as the lake counts them.
        count: How many there are.
        in_lake: How many of them are in raw or in raw.rejects; the others wait in the spool.
        batches: That brought them.
        snapshot: The version of the lake in which this was seen.
    """

    first: int
    count: int
    in_lake: int
    batches: tuple[int, ...]
    snapshot: int


class Intake(Protocol):
    """Takes what a listener receives, until it is durable."""

    def take(
        self,
        event: SpoolEvent,
        streams: tuple[str, ...],
        *,
        receipt: Receipt,
        lane: str,
        placed: Placed | None = None,
    ) -> None:
        """Accept an event for some streams; none: no stream takes it, so it is kept beside them.

        The receipt comes back through `Listener.acknowledge` once the event is durable. Events that are taken
        within one `pump` go to a spool in one commit: after a crash it has all of them or none.

        Args:
            event: The event.
            streams: Whom it is for.
            receipt: What acknowledges it.
            lane: Whose order it keeps: receipts of a lane come back in the order of `take`. A stream that
                cannot store holds up its lane only.
            placed: Called with each place where the event is durable, before the receipt comes back.
        """
        ...

    def held(self, stream: str) -> Held | None:
        """Why nothing is stored for a stream at the moment; None when all is well, as far as is known."""
        ...

    def whereabouts(self, place: Place, count: int) -> Whereabouts | None:
        """Where events are that were stored from a place on; from any thread. None: their spool was replaced.

        Args:
            place: The first one's; of its log's identity a beginning is enough.
            count: How many there are.

        Raises:
            MillraceError: Lake or spool cannot be read.
        """
        ...

    @property
    def marts(self) -> MartReader:
        """Reads marts, for a listener that also answers questions; from any thread."""
        ...

    def kept(self, stream: str, *, after: Place | OlderSegments | None) -> Iterator[Stretch]:
        """What a stream's spool holds durably, in its order, also after a crash.

        Args:
            stream: The stream.
            after: Only what follows it. After `older segments` comes the newest one, which is never trimmed.
                None, or a place in another log: all that is there.

        Raises:
            StorageError: The spool cannot be read.
        """
        ...

    def waiting_of(self, lane: str) -> int:
        """How many events of a lane are not acknowledged yet."""
        ...

    def revise(self, revised: Callable[[Receipt], Receipt | None]) -> None:
        """Change the receipts of what is not durable; what gets None is dropped: it will be sent again."""
        ...
