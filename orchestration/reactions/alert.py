"""What is sent of a condition: JSON that chat programs, people and machines read."""

from datetime import datetime
from typing import Any, Literal

from orchestration.conditions.condition import Condition
from orchestration.reactions.entries import CLOSED, OPENED, Notice

ORIGIN = "condition"
Event = Literal["opened", "closed"]


def key_of(journal: str, condition: Condition, event: Event, reaction: str) -> str:
    """The key of an alert: the same however often it is sent.

    Args:
        journal: The id of the journal that counts the conditions.
        condition: Which.
        event: Its opening, or its end.
        reaction: Who hears of it.
    """
    return f"{about(journal, condition)}-{event}-{reaction}"


def about(journal: str, condition: Condition) -> str:
    """What the alerts of a condition are about, in the ledger."""
    return condition.finding.identity or f"{journal}-{condition.number}"


def notice(
    condition: Condition,
    event: Event,
    reaction: str,
    *,
    journal: str,
    open_count: int,
    system: str,
    now: datetime,
    escalated_from: str = "",
) -> Notice:
    """That a condition opened, or that it is over, for a reaction.

    Args:
        condition: As it is now.
        event: Which.
        reaction: For whom.
        journal: The id of the journal that counts the conditions.
        open_count: How many are open now.
        system: The data folder: several systems may share a receiver.
        now: UTC.
        escalated_from: The reaction whose opening nobody acknowledged; empty for none.
    """
    key = key_of(journal, condition, event, reaction)
    content: dict[str, Any] = {
        "event": OPENED if event == "opened" else CLOSED,
        "text": _text(condition, event, open_count),
        "open": open_count,
        "system": system,
        **condition.as_json(),
        "key": key,
        "reaction": reaction,
    }
    if event == "opened":
        content["closed"] = None  # its end has an alert of its own
        if condition.finding.times:
            found = condition.opened.isoformat(timespec="milliseconds")
            content["times"] = {**dict(condition.finding.times), "opened": found}
    if escalated_from:
        content["escalated_from"] = escalated_from
        content["text"] = f"Millrace: nobody has acknowledged this to '{escalated_from}': {condition.text}"
    return Notice(key, reaction, ORIGIN, about(journal, condition), content, now)


def _text(condition: Condition, event: Event, open_count: int) -> str:
    if event == "opened":
        return f"Millrace: {condition.text}"
    if open_count:
        return f"Millrace: over: {condition.finding.sentence} ({open_count} other(s) open)"
    return f"Millrace: over: {condition.finding.sentence} All is well again."
