"""The sections of docs/values.md, from cases.yml. What became of what was sent is not written there."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    """

    title: str
    prose: str
    fields: Mapping[str, Any]
    sent: tuple[str, ...]
    payloads: tuple[str, ...]
    event_time: str | None = None


def sections() -> list[Section]:
    """All of them, in the order of the page."""
    document = yaml.safe_load(Path(__file__).with_name("cases.yml").read_text(encoding="utf-8"))
    return [_section(each) for each in document["sections"]]


def _section(declared: Mapping[str, Any]) -> Section:
    sent = tuple(line for block in declared["sent"] for line in block.splitlines())
    if "fields" in declared:
        event_time = declared.get("event_time")
        return Section(declared["title"], declared["prose"], declared["fields"], sent, sent, event_time)
    payloads = tuple(f'{{"v": {text}}}' for text in sent)
    return Section(declared["title"], declared["prose"], {"v": declared["field"]}, sent, payloads)
