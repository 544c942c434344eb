"""What became of what was to be sent: of a condition in a few words, and all that is owed as a table."""

from collections.abc import Iterable
from datetime import datetime

from orchestration.cli.messages import printable
from orchestration.page.actions import button
from orchestration.page.heard import Heard
from orchestration.page.html import Child, Html, join, nothing, since, table, tag, tile
from orchestration.reactions.entries import Entry

_SHOWN_OWED, _SHOWN_DONE = 50, 15
_LONGEST_ANSWER = 200
_CLASSES = {"delivered": "good", "acknowledged": "good", "escalated": "warn"}
_EVENTS = {"condition_opened": "opening", "condition_closed": "end"}


def became(entries: Iterable[Entry], *, now: datetime) -> Html:
    """What became of a condition's alerts; empty where no reaction was asked to send any.

    Args:
        entries: Of the condition.
        now: UTC.
    """
    lines = [
        tag("li", each.notice.reaction, ", ", event_of(each), ": ", state(each, now=now)) for each in entries
    ]
    return tag("ul", lines, class_="became") if lines else Html()


def event_of(entry: Entry) -> str:
    """Which alert: the opening or the end."""
    event = str(entry.notice.content.get("event", ""))
    return _EVENTS.get(event, event)


def state(entry: Entry, *, now: datetime) -> Html:
    """What became of an alert, and what was answered where that matters."""
    tries = f" after {entry.attempts} tries" if entry.attempts > 1 else ""
    if entry.state == "delivered":
        when = since(entry.changed_at, now=now)
        return join([tag("span", entry.became, class_=_CLASSES.get(entry.became)), " ", when, tries])
    answer = f": {_cut(printable(entry.answer))}" if entry.answer else ""
    if entry.state == "failed":
        return join([tag("span", f"failed{tries}, set aside", class_="bad"), answer])
    if entry.state in ("dismissed", "suppressed", "held"):
        return join([tag("span", entry.state, class_="dim"), answer])
    tried = f" after {entry.attempts} {'try' if entry.attempts == 1 else 'tries'}" if entry.attempts else ""
    return join([tag("span", f"{entry.state}{tried}", class_="warn"), answer])


def reactions_tile(heard: Heard, *, now: datetime) -> Html:
    """Who is owed what, and who got what last.

    Args:
        heard: The ledger.
        now: UTC.
    """
    if not heard.counts:
        text = "No reaction has been asked to send anything yet: docs/reactions.md says how to declare one."
        return tile("Reactions", nothing(text), kind="wide")
    counts: list[Child] = []
    for name, states in sorted(heard.counts.items()):
        said = ", ".join(f"{number:,} {word.replace('_', ' ')}" for word, number in sorted(states.items()))
        again = button("retry_alerts", of=name, label="Try all again") if states["failed"] else None
        counts += [tag("span", f"{name}: {said}"), " ", again]
    shown = [*heard.owed[:_SHOWN_OWED], *heard.done[:_SHOWN_DONE]]
    rows = [
        (
            each.notice.reaction,
            f"{event_of(each)}: {printable(str(each.notice.content.get('subject', '')))}",
            since(each.notice.noted_at, now=now),
            str(each.attempts or ""),
            join([state(each, now=now), " ", _buttons(each)]),
        )
        for each in shown
    ]
    listed = table(("reaction", "alert", "noted", "tries", ""), rows, right=("tries",))
    left = len(heard.owed) - _SHOWN_OWED
    note = f"{left:,} more wait" if left > 0 else ""
    kind = "wide bad" if any(each.state == "failed" for each in heard.owed) else "wide"
    return tile("Reactions", tag("p", counts, class_="counts"), listed, note=note, kind=kind)


def _buttons(entry: Entry) -> Html:
    of, item = entry.notice.reaction, entry.notice.key
    again = button("retry_alerts", of=of, item=item) if entry.state == "failed" else None
    drop = None if entry.is_done else button("dismiss_alerts", of=of, item=item)
    care = entry.is_awaited and entry.became not in ("suppressed", "dismissed")
    return join([again, drop, button("acknowledge_alerts", of=of, item=item) if care else None])


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_ANSWER else f"{text[:_LONGEST_ANSWER]} …"
