"""Messages on a terminal, or as lines of JSON. Where they come from is peek.py's."""

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import yaml
from rich.text import Text

from ingestion.declare.sources import Seen
from ingestion.errors import SourceUnavailable
from ingestion.formats.likeness import Sample
from ingestion.formats.looks import form_of
from ingestion.formats.recognise import recognise
from ingestion.watch.fates import Fate
from orchestration.cli.context import out

_LINE_BREAKS = re.compile(r"[\r\n]+")
_SHOWN_CHARACTERS = 1_500
_SHOWN_BYTES = 200

Row = tuple[Seen, Fate | None]
"""A message, and what the lake made of it where that was asked."""


def show(rows: Iterable[Row], *, origin: str, nothing: str, as_json: bool) -> None:
    """Print messages as they come; Ctrl-C ends that.

    Args:
        rows: The messages.
        origin: Where they are from.
        nothing: The sentence for none.
        as_json: A line of JSON a message, for other programs.

    Raises:
        SourceUnavailable: There was none.
    """
    count = 0
    try:
        for seen, fate in rows:
            count += 1
            if as_json:
                sys.stdout.buffer.write(orjson.dumps(_document(seen, fate), default=str) + b"\n")
                sys.stdout.buffer.flush()
            else:
                _print(seen, fate)
    except KeyboardInterrupt:
        if not count:
            raise
    if not count:
        raise SourceUnavailable(nothing)
    if not as_json:
        out.print(
            f"[dim]{count} message{'' if count == 1 else 's'} of {origin}; nothing was taken from it[/]"
        )


def _document(seen: Seen, fate: Fate | None) -> dict[str, Any]:
    message = seen.message
    document: dict[str, Any] = {
        "partition": message.partition or None,
        "position": message.position,
        "sent_at": message.sent_at,
        "key": seen.key,
        "headers": orjson.Fragment(message.headers) if message.headers else None,
        "note": message.note,
        "form": form_of(message.value, seen.format) or None,
        "format": seen.format or None,
        "payload": None if seen.payload is None else orjson.Fragment(_on_one_line(seen.payload)),
        "refused": {"reason": seen.reason, "detail": seen.detail} if seen.reason else None,
    }
    if seen.reason and message.value is not None:
        document["bytes"] = message.value.hex()
    if fate is not None:
        document["raw"] = None if fate.batch_id is None else {"batch_id": fate.batch_id}
        document["rejected"] = fate.reject or None
        document["staging"] = fate.staged
        if fate.elements:
            document["elements"] = list(fate.elements)
        document["not_staged"] = fate.why_not or None
        if fate.cut:
            document["cut"] = dict(fate.cut)
    return document


def _print(seen: Seen, fate: Fate | None) -> None:
    message = seen.message
    head = Text()
    if message.position is not None:
        head.append(f"{message.partition}@{message.position}  ", style="bold")
    if message.sent_at is not None:
        head.append(f"{message.sent_at:%Y-%m-%d %H:%M:%S}.{message.sent_at.microsecond // 1000:03}  ", "cyan")
    if seen.key is not None:
        head.append(f"key {printable(seen.key)}  ")
    if notes := ", ".join(filter(None, (message.note, form_of(message.value, seen.format)))):
        head.append(notes, style="yellow")
    out.print(head)
    if seen.payload is not None:
        out.print(Text("  " + _cut(printable(_on_one_line(seen.payload)))))
    elif seen.reason:
        out.print(Text(f"  refused, {seen.reason}: {printable(seen.detail)}", style="red"))
        hint = _other_format(seen)
        if hint:
            out.print(Text(f"  {printable(hint)}", style="yellow"))
        if message.value:
            shown = message.value[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
            out.print(Text(f"  {printable(shown)}{' …' if len(message.value) > _SHOWN_BYTES else ''}"))
    if message.headers:
        out.print(Text(f"  headers  {_cut(printable(message.headers))}", style="dim"))
    if fate is not None:
        _print_fate(fate)


def _other_format(seen: Seen) -> str:
    """Which format reads a message that its own refuses; empty where none is known."""
    message = seen.message
    found = recognise([Sample(message.value, message.headers, message.key)]) if message.value else None
    if found is None:
        return ""
    choice = found.choice()
    if choice is None or choice.name == "binary":
        return found.sentence
    written = yaml.safe_dump(choice.declared(), default_flow_style=True).removesuffix("...\n").strip()
    return f"{found.likeness.reason}: format '{written}' reads it"


def _on_one_line(json_text: str) -> str:
    """The same JSON: a line break stands between its parts, never inside a string."""
    return _LINE_BREAKS.sub(" ", json_text)


def _print_fate(fate: Fate) -> None:
    if fate.batch_id is None and not fate.reject:
        out.print(Text("  raw      not there yet", style="yellow"))
        return
    if fate.reject:
        out.print(Text(f"  rejects  {fate.reject}", style="red"))
    if fate.batch_id is None:
        return
    out.print(Text(f"  raw      batch {fate.batch_id}", style="green"))
    if fate.staged is None:
        out.print(Text(f"  staging  {fate.why_not}", style="yellow"))
        return
    for row in fate.elements or (fate.staged,):
        _print_staged(row)
    more = fate.staged.get("elements", 1) - max(1, len(fate.elements))
    if more > 0:
        out.print(Text(f"  staging  and {more} more elements", style="dim"))
    if fate.cut:
        sent = ", ".join(f"{name}, sent as {printable(text)}" for name, text in fate.cut.items())
        out.print(Text(f"  staging  cut to microseconds: {sent}", style="yellow"))


def _print_staged(row: Mapping[str, Any]) -> None:
    wrong = row.get("cast_errors") or []
    cells = {name: value for name, value in row.items() if name not in ("batch_id", "cast_errors")}
    text = ", ".join(f"{name} {_plain(value)}" for name, value in cells.items())
    out.print(Text(f"  staging  {_cut(printable(text))}", style="green"))
    if wrong:
        out.print(Text(f"  staging  not of their type: {', '.join(wrong)}", style="red"))


def _plain(value: object) -> str:
    return "null" if value is None else str(value)


def printable(text: str) -> str:
    """A text without characters that would steer the terminal."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def _cut(text: str) -> str:
    more = len(text) - _SHOWN_CHARACTERS
    return text if more <= 0 else f"{text[:_SHOWN_CHARACTERS]} … {more:,} more characters: --json shows them"
