"""How long the alert of a rule took, hop by hop: from the event that broke the rule to the receiver's answer.

The moments stand in the ledger: those before the condition opened are what the build of the mart noted.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestration.reactions.entries import Entry

MOMENTS = ("happened", "landed", "built", "opened")
"""In an alert's `times`: the event's own time, in raw, in the mart of alerts, as a condition."""
HOPS = ("event to raw", "raw to mart", "mart to condition", "condition to ledger", "ledger to accepted")


@dataclass(frozen=True)
class Journey:
    """The way of one alert to one reaction.

    Attributes:
        key: The alert's.
        reaction: Whose.
        subject: What it is about.
        moments: When it happened, was in raw, in the mart, a condition, in the ledger, and accepted; UTC.
    """

    key: str
    reaction: str
    subject: str
    moments: tuple[datetime, ...]

    @property
    def seconds(self) -> tuple[float, ...]:
        """Of each of HOPS; the first is negative where the sender's clock is ahead."""
        pairs = zip(self.moments, self.moments[1:], strict=False)
        return tuple((later - earlier).total_seconds() for earlier, later in pairs)

    @property
    def whole_seconds(self) -> float:
        """From the event to the answer."""
        return (self.moments[-1] - self.moments[0]).total_seconds()


@dataclass(frozen=True)
class Spread:
    """Some durations, in seconds.

    Attributes:
        name: Of the hop.
        half: Half took no longer.
        most: 19 of 20 took no longer.
        longest: The longest.
    """

    name: str
    half: float
    most: float
    longest: float


def journeys(entries: Iterable[Entry]) -> list[Journey]:
    """The ways of delivered openings of rules' alerts; of those of earlier releases nothing is known.

    Args:
        entries: Of a ledger.
    """
    return [found for each in entries if (found := _journey(each)) is not None]


def spreads(found: Sequence[Journey]) -> list[Spread]:
    """Of each hop, and of all of them together; nothing without a journey.

    Args:
        found: The journeys.
    """
    if not found:
        return []
    hops = zip(HOPS, zip(*(each.seconds for each in found), strict=True), strict=True)
    return [
        _spread(name, values) for name, values in (*hops, ("all", [each.whole_seconds for each in found]))
    ]


def _spread(name: str, values: Sequence[float]) -> Spread:
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)

    return Spread(name, at(0.5), at(0.95), at(1.0))


def _journey(entry: Entry) -> Journey | None:
    notice, latency = entry.notice, entry.latency_seconds
    times = notice.content.get("times")
    if not notice.is_opening or latency is None or not isinstance(times, dict):
        return None
    try:
        known = [datetime.fromisoformat(times[name]) for name in MOMENTS]
        accepted = notice.noted_at + timedelta(seconds=latency)
        moments = (*known, notice.noted_at, accepted)
        _ = moments[-1] - moments[0]  # all have a zone
    except (KeyError, TypeError, ValueError):
        return None
    subject = str(notice.content.get("subject", ""))
    return Journey(notice.key, notice.reaction, subject, moments)
