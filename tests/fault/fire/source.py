"""A source under fire: its server, a sender that remembers what was confirmed, and how its server is killed.

A file for each kind beside this one. What is made of it afterwards is in reckoning.py.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

Place = tuple[str, int]
"""Partition and position of an event in a log."""


@dataclass
class Sent:
    """What a sender knows at its end.

    Attributes:
        confirmed: Numbers whose sending was confirmed.
        again: Number → how often it was sent once more because no confirmation came: so many further events
            may be at the broker, or in the spool, without any fault of the receiver's.
        returned: How many messages a broker gave back, since it had no queue for them; they were sent again.
        together: Numbers that were sent in one request, if requests are stored as a whole.
        rolled_back: Times (begin, end, UTC) whose acknowledgements a killed broker forgot: what was received
            then may come again unmarked.
    """

    confirmed: set[int] = field(default_factory=set)
    again: Counter[int] = field(default_factory=Counter)
    returned: int = 0
    together: list[range] = field(default_factory=list)
    rolled_back: list[tuple[datetime, datetime]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def confirm(self, numbers: Sequence[int]) -> None:
        """Some were confirmed."""
        with self.lock:
            self.confirmed.update(numbers)

    def repeat(self, numbers: Sequence[int]) -> None:
        """Some will be sent again, and may be there already."""
        with self.lock:
            self.again.update(numbers)


class Source(Protocol):
    """One kind of source, started.

    Attributes:
        declared: Its `source` in streams.yml.
        settings: How the product reaches it.
        collector: The kind whose collector receives it; empty for a log.
        once: Whether each confirmed event is promised to be in raw once; else at least once.
        mark: Of a header of raw, true for what the broker delivers again; empty where it marks nothing.
        sent: What its sender knows.
    """

    declared: Mapping[str, Any]
    settings: Mapping[str, Any]
    collector: str
    once: bool
    mark: str
    sent: Sent

    def send(self, numbers: Sequence[int]) -> None:
        """Send events of these numbers; returns once each is confirmed, however often that takes."""

    def strike(self) -> str:
        """Kill the server and start it again; what was done, in a word or two. Empty: it has none."""

    def heal(self) -> None:
        """What an operator does with a server that runs and does not work; nothing where none is known."""

    def kept(self) -> dict[Place, int] | None:
        """What the log holds, place by place, read by another client; None for what is collected."""

    def close(self) -> None:
        """End the sender."""


def payload(number: int) -> bytes:
    """The event of a number, of about 120 bytes."""
    return b'{"n": %d, "text": "%s"}' % (number, b"%016x" % (number * 0x9E3779B97F4A7C15 % 2**64) * 5)


def number_of(value: bytes) -> int:
    """The number of an event."""
    return int(json.loads(value)["n"])
