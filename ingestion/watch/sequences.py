"""Which events of a stream's senders never came, by their own numbers: the gaps that count now.

They are found by SQL of the dbt package (macros/sequences.sql); what the words mean: docs/sequences.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ingestion.declare.sequence import SequenceSpec
from ingestion.lake.lake import Lake

GAPS = ("marts", "ops_sequence_gaps")
_MOST = 1000
_OPEN = """
select sender, first_number, last_number, missing, last_before_at, opened_at
from marts.ops_sequence_gaps
where stream = ? and state in ('open', 'partly')
order by opened_at, sender, first_number
"""
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Gap:
    """Numbers of a sender that have not come.

    Attributes:
        sender: Whose counter it is.
        first_number: The first that is missing.
        last_number: The last.
        missing: How many they are.
        last_before_at: When the event before them happened, UTC; None where none was seen.
        opened_at: When the first event after them was read, UTC.
    """

    sender: str
    first_number: int
    last_number: int
    missing: int
    last_before_at: datetime | None
    opened_at: datetime


@dataclass(frozen=True)
class Missing:
    """The gaps of a stream that count now.

    Attributes:
        numbers: How many numbers are missing.
        senders: Of how many senders.
        worst: The gaps of the sender that lacks most, the oldest first.
    """

    numbers: int = 0
    senders: int = 0
    worst: tuple[Gap, ...] = ()


def is_built(lake: Lake) -> bool:
    """Whether the lake has the gaps of its streams."""
    return GAPS in lake.tables()


def open_gaps(lake: Lake, stream: str) -> tuple[Gap, ...]:
    """The open gaps of a stream, the oldest first; beyond a thousand, the rest as if it were one."""
    gaps = [Gap(*row) for row in lake.query(_OPEN, [stream])]
    if len(gaps) > _MOST:
        rest = gaps[_MOST - 1 :]
        gaps = [*gaps[: _MOST - 1], replace(rest[-1], missing=sum(gap.missing for gap in rest))]
    return tuple(gaps)


def missing_now(gaps: Iterable[Gap], sequence: SequenceSpec, *, now: datetime) -> Missing:
    """What counts: a gap may still be filled for a while, and is given up after another.

    Args:
        gaps: The open ones.
        sequence: What the stream declares.
        now: UTC.
    """
    late = timedelta(minutes=sequence.late_minutes)
    forgotten = sequence.accept_after_hours and timedelta(hours=sequence.accept_after_hours)
    by_sender: dict[str, list[Gap]] = {}
    for gap in gaps:
        age = now - gap.opened_at
        if age >= late and not (forgotten and age >= forgotten):
            by_sender.setdefault(gap.sender, []).append(gap)
    counts = {sender: sum(gap.missing for gap in own) for sender, own in by_sender.items()}
    if not counts:
        return Missing()
    worst = min(counts, key=lambda sender: (-counts[sender], sender))
    return Missing(sum(counts.values()), len(counts), tuple(by_sender[worst]))


def described(missing: Missing, stream: str) -> str:
    """A sentence about what is missing: the sender that lacks most, how much, since when."""
    worst = missing.worst
    sender, count = worst[0].sender, sum(gap.missing for gap in worst)
    sender = sender if len(sender) <= _SHOWN_CHARACTERS else f"{sender[: _SHOWN_CHARACTERS - 1]}…"
    first, last = worst[0].first_number, worst[-1].last_number
    where = f"number {first}" if count == 1 else f"numbers {first} to {last}"
    if len(worst) > 1:
        where = f"in {len(worst)} gaps from number {first} on"
    since = worst[0].last_before_at
    text = f"{count:,} events of sender {sender} of {stream} never came: {where}"
    if count == 1:
        text = f"1 event of sender {sender} of {stream} never came: {where}"
    if since is not None:
        text += f", after {since:%Y-%m-%d %H:%M:%S} UTC"
    if missing.senders > 1:
        text += f"; {missing.numbers:,} events of {missing.senders:,} senders are missing in all"
    return text
