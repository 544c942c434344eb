"""One request's events on their way: from the server's thread to the collector's, and an answer back."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from ingestion.connectors.http.problems import Problem
from ingestion.spool.guarded import Held
from ingestion.spool.lanes import Place


@dataclass
class Stored:
    """Where a request's events are durable: one after another in the spool of each stream.

    Attributes:
        stream: The stream, which is its spool's name.
        log_id: The spool's identity.
        first: Position of the first event.
        count: How many there are.
    """

    stream: str
    log_id: str
    first: int
    count: int


Outcome = list[Stored] | Held | Problem
"""Where it is stored, or why it is not, or why it cannot be."""


@dataclass(eq=False)
class Delivery:
    """A request's events, which are stored together or not at all.

    Attributes:
        door: The end of the address, which is the lane.
        events: Payloads.
        headers: JSON object text that each event gets.
        received_us: When it was received, microseconds since 1970 UTC.
        outcome: Set in the loop of the server's thread.
        digest: Of its body.
        key: By which its sender may send it again; empty without one.
        stored: Where its events are; filled by the collector's thread.
        known: The streams that had it before.
        is_repeated: It was stored before.
    """

    door: str
    events: list[bytes]
    headers: str
    received_us: int
    outcome: "asyncio.Future[Outcome]"
    digest: str = ""
    key: str = ""
    stored: dict[str, Stored] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    is_repeated: bool = False
    _acknowledged: int = 0

    def placed(self, place: Place) -> None:
        """Note where one of its events is durable."""
        found = self.stored.get(place.spool)
        if found is None:
            self.stored[place.spool] = Stored(place.spool, place.log_id, place.position, 1)
        else:
            found.count += 1

    def acknowledge_one(self) -> bool:
        """Count an event that is durable wherever it belongs; returns whether all of them are."""
        self._acknowledged += 1
        return self._acknowledged == len(self.events)


def answer(outcomes: Iterable[tuple[Delivery, Outcome]]) -> None:
    """Set outcomes, from any thread; what nobody waits for any more is dropped."""
    pairs = [(delivery.outcome, outcome) for delivery, outcome in outcomes]
    if pairs:
        with suppress(RuntimeError):  # the server's loop has ended
            pairs[0][0].get_loop().call_soon_threadsafe(_set, pairs)


def _set(pairs: "list[tuple[asyncio.Future[Outcome], Outcome]]") -> None:
    for future, outcome in pairs:
        if not future.done():
            future.set_result(outcome)
