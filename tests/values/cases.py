"""The sections of docs/values.md, from cases.yml. What became of what was sent is not written there."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml


@dataclass(frozen=True)
class Section:
    """One table of the page.

    Attributes:
        title: Its heading.
        prose: The rule, in words.
        declared: What streams.yml says.
        sent: What the page shows of each: JSON of the value of `v`, or a whole payload and how it is sent.
        payloads: What is sent.
        events: Whole messages instead of payloads (beside.py).
        shown: The columns to show, where these are not all.
    """

    title: str
    prose: str
    declared: Mapping[str, Any]
    sent: tuple[str, ...]
    payloads: tuple[str | bytes, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    shown: tuple[str, ...] = ()


def sections() -> list[Section]:
    """All of them, in the order of the page."""
    document = yaml.safe_load(Path(__file__).with_name("cases.yml").read_text(encoding="utf-8"))
    return [_section(each) for each in document["sections"]]


def _section(written: Mapping[str, Any]) -> Section:
    title, prose = written["title"], written["prose"]
    if "events" in written:
        events = tuple(written["events"])
        sent = tuple(
            ", ".join(f"{part} {_shown(value)}" for part, value in event.items()) for event in events
        )
        return Section(
            title,
            prose,
            written["stream"],
            _codes(sent),
            events=events,
            shown=tuple(written.get("shown", ())),
        )
    if "stream" in written:
        made = [_made(each) for each in written["sent"]]
        return Section(title, prose, written["stream"], *zip(*made, strict=True))
    lines = tuple(line for block in written["sent"] for line in block.splitlines())
    if "fields" in written:
        said = {key: written[key] for key in ("fields", "event_time") if key in written}
        return Section(title, prose, said, _codes(lines), lines)
    payloads = tuple(f'{{"v": {text}}}' for text in lines)
    return Section(title, prose, {"fields": {"v": written["field"]}}, _codes(lines), payloads)


def _shown(value: Any) -> str:
    """A part of a message: text, or pairs."""
    return value if isinstance(value, str) else " ".join(f"{name}={text}" for name, text in value)


def _codes(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"`{line}`" for line in lines)


def _made(sent: str | Mapping[str, str]) -> tuple[str, bytes]:
    """What the page shows, and the bytes."""
    if isinstance(sent, str):
        return f"`{sent}`", sent.encode()
    ((way, text),) = sent.items()
    shown = text.replace("\n", "\\n")
    return f"`{shown}`, {way}" if text else way, _WAYS[way](text)


_WAYS: Mapping[str, Callable[[str], bytes]] = {
    "gzip": lambda text: gzip.compress(text.encode()),
    "zstd": lambda text: bytes(pa.compress(text.encode(), "zstd", asbytes=True)),
    "gzip of a million spaces": lambda _: gzip.compress(b" " * 1_000_001),
    "gzip, torn": lambda text: gzip.compress(text.encode())[:-4],
    "UTF-16 with a byte order mark": lambda text: text.encode("utf-16"),
    "UTF-16 without one": lambda text: text.encode("utf-16le"),
    "UTF-8 with a byte order mark": lambda text: text.encode("utf-8-sig"),
    "a NUL at its end": lambda text: text.encode() + b"\0",
    "lines": str.encode,
    "no bytes": str.encode,
}
"""How a text is sent."""
