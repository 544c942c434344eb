"""What is sent of a condition: JSON that chat programs, people and machines read."""

from datetime import datetime
from typing import Any, Literal

from orchestration.conditions.condition import Condition
from orchestration.reactions.ledger import Notice

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
    return f"{journal}-{condition.number}-{event}-{reaction}"


def notice(
    condition: Condition,
    event: Event,
    reaction: str,
    *,
    journal: str,
    open_count: int,
    system: str,
    now: datetime,
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
    """
    key = key_of(journal, condition, event, reaction)
    content: dict[str, Any] = {
        "event": f"condition_{event}",
        "text": _text(condition, event, open_count),
        "open": open_count,
        "system": system,
        **condition.as_json(),
        "key": key,
        "reaction": reaction,
    }
    if event == "opened":
        content["closed"] = None  # its end has an alert of its own
    return Notice(key, reaction, ORIGIN, f"{journal}-{condition.number}", content, now)


def _text(condition: Condition, event: Event, open_count: int) -> str:
    if event == "opened":
        return f"Millrace: {condition.text}"
    if open_count:
        return f"Millrace: over: {condition.finding.sentence} ({open_count} other(s) open)"
    return f"Millrace: over: {condition.finding.sentence} All is well again."
