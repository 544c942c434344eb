"""docs/values.md: what was sent, what staging shows, what is reported. Made from what happens here.

`MILLRACE_FREEZE=1 .venv/bin/python -m pytest tests/values/test_page.py` writes it again.
"""

from collections.abc import Callable
from pathlib import Path

from ingestion.declare.stream import Stream
from tests.frozen.snapshot import check_file
from tests.repository import REPOSITORY
from tests.values import avro, reference
from tests.values.beside import kafka_event, mqtt_event
from tests.values.cases import Section, sections
from tests.values.staged import Fate, by_message, stage_events, stage_messages

PAGE = REPOSITORY / "docs" / "values.md"
_HEAD = Path(__file__).with_name("head.md")


def test_the_page_says_what_happens() -> None:
    tables = "\n".join(_table(section) for section in sections())
    check_file(
        PAGE,
        _HEAD.read_text(encoding="utf-8") + tables + avro.section() + reference.section(PAGE.read_text()),
    )


def _table(section: Section) -> str:
    rows = [
        f"| {sent} | {_all(fates, _shown, section)} | {_all(fates, _reported, section)} |"
        for sent, fates in zip(section.sent, _fates(section), strict=True)
    ]
    head = "| sent | staging shows | reported |\n|---|---|---|"
    return "\n".join([f"## {section.title}", "", section.prose, "", head, *rows, ""])


def _fates(section: Section) -> list[list[Fate]]:
    if not section.events:
        return stage_messages(section.declared, section.payloads, text=True)
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "orders"}, **section.declared})
    make = kafka_event if stream.kind == "kafka" else mqtt_event
    return by_message(stage_events(stream, [make(event) for event in section.events], text=True))


def _all(fates: list[Fate], show: Callable[[Fate, Section], str], section: Section) -> str:
    """What is shown of one event, or of each element."""
    if len(fates) == 1:
        return show(fates[0], section)
    texts = [(fate.event_id.partition("#")[2], show(fate, section)) for fate in fates]
    return "; ".join(f"#{index} {text}" for index, text in texts if text)


def _shown(fate: Fate, section: Section) -> str:
    if fate.reject:
        return ""
    if "event_time" in section.declared:
        value = fate.values[section.declared["event_time"]]
        return f"{'null' if value is None else _code(value)}, event_at {_code(fate.event_at)}"
    if set(fate.values) == {"v"}:
        return "null" if fate.values["v"] is None else _code(fate.values["v"])
    values = {name: fate.values[name] for name in section.shown or fate.values}
    there = [f"{name} {_code(value)}" for name, value in values.items() if value is not None]
    return ", ".join(there) or "null"


def _reported(fate: Fate, _: Section) -> str:
    if fate.reject:
        return f"reject, `{fate.reject}`"
    if fate.seconds_ahead is not None:
        return f"clock ahead, {fate.seconds_ahead:,.0f} s"
    return f"`{', '.join(fate.cast_errors)}`" if fate.cast_errors else ""


def _code(text: str) -> str:
    return f"`{text}`" if text else "empty text"
