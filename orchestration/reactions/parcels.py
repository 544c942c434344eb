"""What a reaction is sent next: one alert, or several in a message; what waits, and what nobody gets.

Pure: the courier notes and sends what is decided here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from orchestration.reactions.declared import Reaction
from orchestration.reactions.entries import CLOSED, Entry, Notice

_MOST = 100
"""Alerts in a message of what has waited, where no batch is declared."""
QUIET, LIMIT = "quiet hours", "the limit"


@dataclass
class Plan:
    """What to do next.

    Attributes:
        send: What is one message; empty for nothing now.
        fixed: Whether the ledger says already that it is one message, or need not.
        hold: Why → what waits.
        suppress: What is over before its time came.
    """

    send: tuple[Entry, ...] = ()
    fixed: bool = True
    hold: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    suppress: list[Entry] = field(default_factory=list)


def plan(
    reaction: Reaction,
    owed: Sequence[Entry],
    *,
    had: Sequence[Entry],
    may: Callable[[str], bool],
    now: datetime,
) -> Plan:
    """What a reaction is sent next.

    Args:
        reaction: As declared.
        owed: What the ledger holds for it, in its order.
        had: Openings that it got within the time of its limit.
        may: Whether a message may be tried now, by its key.
        now: UTC.
    """
    made, ready, blocked = Plan(), list[Entry](), set[str]()
    openings = _openings_so_far(reaction, owed, had)
    over = {each.notice.about for each in owed if each.notice.is_opening and each.over}
    dropped, seen = set[str](), set[str]()
    for entry in owed:
        notice = entry.notice
        if reaction.quiet is not None and _waits(reaction, entry, now=now):
            if entry.state == "pending":
                made.hold[QUIET].append(entry)
            blocked.add(notice.about)
        elif entry.state == "batched":
            if entry.batch not in seen and not made.send and may(entry.batch):
                members = tuple(each for each in owed if each.batch == entry.batch)
                if blocked.isdisjoint(each.notice.about for each in members):
                    made.send = members
            seen.add(entry.batch)
            blocked.add(notice.about)
        elif entry.state == "failed" or notice.about in blocked or not may(notice.key):
            blocked.add(notice.about)
        elif notice.about in dropped:
            made.suppress.append(entry)
        elif _is_too_much(reaction, entry, openings):
            if notice.about in over:
                made.suppress.append(entry)
                dropped.add(notice.about)
            else:
                blocked.add(notice.about)
                if entry.state == "pending":
                    made.hold[LIMIT].append(entry)
        else:
            openings[notice.same] += notice.is_opening
            ready.append(entry)
    if not made.send and ready:
        made.send, made.fixed = _message(reaction, ready, now=now), not reaction.combines
    return made


def message_key(entries: Sequence[Entry]) -> str:
    """The key of a message: that of its only alert, or one for exactly these."""
    keys = [each.notice.key for each in entries]
    if len(keys) == 1:
        return keys[0]
    return f"batch-{sha256(' '.join(keys).encode()).hexdigest()[:24]}-{entries[0].notice.reaction}"


def message(entries: Sequence[Entry]) -> Notice:
    """What is sent of entries: the only alert as it is, or all of them in their order."""
    first = entries[0].notice
    if len(entries) == 1:
        return first
    alerts = [dict(each.notice.content) for each in entries]
    ended = sum(each["event"] == CLOSED for each in alerts)
    texts = "\n".join(str(each["text"]).removeprefix("Millrace: ") for each in alerts)
    content: dict[str, Any] = {
        "event": "alerts",
        "text": f"Millrace: {len(alerts)} alerts: {len(alerts) - ended} opened, {ended} over\n{texts}",
        "open": alerts[-1].get("open"),
        "system": first.content.get("system"),
        "key": message_key(entries),
        "reaction": first.reaction,
        "alerts": alerts,
    }
    return Notice(content["key"], first.reaction, first.origin, first.about, content, first.noted_at)


def _waits(reaction: Reaction, entry: Entry, *, now: datetime) -> bool:
    return reaction.quiet is not None and reaction.quiet.holds(entry.notice.severity, now=now)


def _openings_so_far(reaction: Reaction, owed: Sequence[Entry], had: Sequence[Entry]) -> Counter[object]:
    """How often it heard of each thing lately, or may have."""
    begun = [each for each in owed if each.notice.is_opening and (each.attempts or each.state == "batched")]
    return Counter(each.notice.same for each in (*had, *begun)) if reaction.limit is not None else Counter()


def _is_too_much(reaction: Reaction, entry: Entry, openings: Counter[object]) -> bool:
    if reaction.limit is None or not entry.notice.is_opening or entry.attempts or entry.alone:
        return False
    return openings[entry.notice.same] >= reaction.limit.openings


def _message(reaction: Reaction, ready: Sequence[Entry], *, now: datetime) -> tuple[Entry, ...]:
    """Which of what may be sent are the next message; empty while it waits for others."""
    if ready[0].alone or not reaction.combines:
        return (ready[0],)
    apart = {each.notice.about for each in ready if each.alone}
    others = [each for each in ready if each.notice.about not in apart] or [ready[0]]
    batch = reaction.batch
    if batch is not None:
        waited = now - others[0].notice.noted_at
        is_full = len(others) >= batch.most
        # The clock may have been set back.
        if is_full or not timedelta(0) <= waited < timedelta(seconds=batch.within_seconds):
            return tuple(others[: batch.most])
        return ()
    has_waited = any(each.state == "held" for each in others)
    return tuple(others[:_MOST]) if has_waited else (others[0],)
