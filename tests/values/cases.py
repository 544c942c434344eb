"""The sections of docs/values.md, from cases.yml. What became of what was sent is not written there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Section:
    """One table of the page.

    Attributes:
        title: Its heading.
        prose: The rule, in words.
        fields: What is declared.
        sent: JSON texts as the page shows them: of the value of `v`, or whole payloads.
        payloads: What is sent.
        event_time: The field with the event's own time, where the table is about that.
        source: Of the stream.
        events: Whole messages instead of payloads (beside.py).
        others: What else the stream declares.
        shown: The columns to show, where these are not all.
    """

    title: str
    prose: str
    fields: Mapping[str, Any]
    sent: tuple[str, ...]
    payloads: tuple[str, ...]
    event_time: str | None = None
    source: Mapping[str, Any] = field(default_factory=lambda: {"kafka": "orders"})
    events: tuple[Mapping[str, Any], ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)
    shown: tuple[str, ...] = ()


def sections() -> list[Section]:
    """All of them, in the order of the page."""
    document = yaml.safe_load(Path(__file__).with_name("cases.yml").read_text(encoding="utf-8"))
    return [_section(each) for each in document["sections"]]


def _section(declared: Mapping[str, Any]) -> Section:
    if "events" in declared:
        events = tuple(declared["events"])
        sent = tuple(
            ", ".join(f"{part} {_shown(value)}" for part, value in event.items()) for event in events
        )
        return Section(
            declared["title"], declared["prose"], declared.get("fields", {}), sent, (),
            source=declared.get("source", {"kafka": "orders"}), events=events,
            others=declared.get("others", {}), shown=tuple(declared.get("shown", ())),
        )  # fmt: skip
    sent = tuple(line for block in declared["sent"] for line in block.splitlines())
    if "fields" in declared:
        event_time = declared.get("event_time")
        return Section(declared["title"], declared["prose"], declared["fields"], sent, sent, event_time)
    payloads = tuple(f'{{"v": {text}}}' for text in sent)
    return Section(declared["title"], declared["prose"], {"v": declared["field"]}, sent, payloads)


def _shown(value: Any) -> str:
    """A part of a message: text, or pairs."""
    return value if isinstance(value, str) else " ".join(f"{name}={text}" for name, text in value)
