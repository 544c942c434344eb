"""A trace on a terminal, as a small waterfall of hops and the rows below it, or as JSON."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestration.cli.context import out
from orchestration.cli.messages import printable
from orchestration.cli.trace import Hop, Mart, Trace, Way
from orchestration.records.reader import CheckRecord

_COLOURS = {
    "staged": "green", "duplicate": "green", "tombstone": "green", "dismissed": "yellow", "unread": "yellow",
    "not staged yet": "yellow", "no staging model": "yellow", "not sent": "yellow", "no event": "yellow",
    "before the start": "yellow", "rejected": "red", "conflict": "red", "missing": "red", "lost": "red",
}  # fmt: skip
_OUTCOMES = {"passed": "green", "warned": "yellow", "failed": "red", "could_not_run": "red"}
_BAR = 24
_ROWS_SHOWN = 3
_VALUE_CHARACTERS = 60
_PAYLOAD_CHARACTERS = 400


def show(trace: Trace, *, as_json: bool) -> None:
    """Print a trace."""
    if as_json:
        document = {
            "text": trace.text,
            "count": trace.count,
            "events": [_document(way) for way in trace.ways],
        }
        sys.stdout.buffer.write(orjson.dumps(document, default=str) + b"\n")
        sys.stdout.buffer.flush()
        return
    for number, way in enumerate(trace.ways):
        if number:
            out.print()
        out.print(_view(way), soft_wrap=False)
    if trace.count > len(trace.ways):
        out.print(f"\n[dim]{len(trace.ways)} of {trace.count:,} events; --limit shows more[/]")


def _view(way: Way) -> RenderableType:
    event = way.event
    colour = _COLOURS[event.state]
    head = Text.assemble((printable(event.named.event_id), "bold"), "  ", (event.state, f"bold {colour}"))
    head.append(f"  stream {event.named.stream.name}", "dim")
    sentence = event.sentence[0].upper() + event.sentence[1:] + "."
    parts: list[RenderableType] = [head, Text(printable(sentence), colour if colour == "red" else "")]
    parts += [Text(), *_indented(_where(way))]
    if len([hop for hop in way.hops if hop.at is not None]) > 1:
        parts += [Text(), *_indented([_waterfall(way.hops)])]
    if way.marts:
        parts += [Text(), Text("rows that it touched", "bold")]
        for mart in way.marts:
            parts += _indented(_mart(mart))
    if way.checks:
        parts += [Text(), Text("checks that judged them first", "bold"), *_indented(_checks(way.checks))]
    parts += [Text(printable(note), "yellow") for note in way.notes]
    return Group(*parts)


def _where(way: Way) -> list[RenderableType]:
    event, batch = way.event, way.event.batch
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    kept = {True: ", which still holds it", False: ", which does not hold it any more", None: ""}
    lines.add_row("log", f"{printable(event.held_in)}{kept[event.in_log]}")
    if event.key is not None:
        lines.add_row("key", _value(event.key))
    if event.payload is not None:
        lines.add_row("payload", _cut(printable(event.payload), _PAYLOAD_CHARACTERS))
    if batch is not None:
        text = (
            f"{batch.number}, which holds positions {batch.start} to {max(batch.start, batch.end - 1)} of it"
        )
        if batch.start == batch.end:
            text = f"{batch.number}, which landed it later than its neighbours"
        lines.add_row("batch", f"{text}; version {batch.version} of the lake")
    if event.staged_version is not None:
        lines.add_row("staging", f"a row of version {event.staged_version}")
    return [lines]


def _waterfall(hops: Sequence[Hop]) -> RenderableType:
    """Each hop beside a bar that begins where the one before it ended."""
    known = [hop.at for hop in hops if hop.at is not None]
    begin, whole = min(known), max((max(known) - min(known)).total_seconds(), 1e-6)
    table = Table(box=None, show_edge=False, header_style="dim", pad_edge=False)
    table.add_column("hop", no_wrap=True)
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for hop in hops:
        seconds = "" if hop.seconds is None else f"{hop.seconds:,.3f}"
        bar = Text()
        if hop.at is not None and hop.seconds is not None:
            end = (hop.at - begin).total_seconds() / whole * _BAR
            first = min(_BAR - 1, max(0, int(end - max(0.0, hop.seconds) / whole * _BAR)))
            bar = Text(" " * first + "█" * max(1, round(end) - first), "cyan")
        table.add_row(printable(hop.name), _moment(hop.at), seconds, bar)
    table.add_row(Text("all", "bold"), "", Text(f"{whole:,.3f}", "bold"), "")
    return table


def _mart(mart: Mart) -> Iterator[RenderableType]:
    table, found = mart.model.table, mart.rows
    head = Text.assemble((f"{table.schema}.{table.name}", "bold"))
    if not mart.is_there or found.match == "nothing":
        yield head.append(f"  {printable(found.unknown)}", "yellow")
        return
    by = ", ".join(found.by)
    count = len(found.rows)
    rows = f"{count} row{'' if count == 1 else 's'} by {by}"
    if table.is_view:
        head.append(f"  a view: {rows}", "dim")
    elif mart.version is None:
        head.append(f"  {rows}, as of now: no version that is kept changed it since", "dim")
    else:
        removed = f", {found.removed} taken away" if found.removed else ""
        head.append(f"  {rows} in version {mart.version}, {found.changed} changed{removed}", "dim")
    yield head
    for row in found.rows[:_ROWS_SHOWN]:
        yield Padding(_row(row, found.by), (0, 0, 0, 2))
    if count > _ROWS_SHOWN:
        yield Padding(Text(f"and {count - _ROWS_SHOWN} more; --json shows all", "dim"), (0, 0, 0, 2))
    if found.unknown:
        yield Padding(Text(printable(found.unknown), "yellow"), (0, 0, 0, 2))


def _row(row: Mapping[str, Any], by: Sequence[str]) -> Text:
    """A row in as few lines as it takes: the columns that were compared first."""
    line = Text()
    for name in (*by, *(name for name in row if name not in by)):
        if row.get(name) is None:
            continue
        line.append(("  " if line else "") + f"{name} ", "dim")
        line.append(_value(row[name]), "cyan" if name in by else "")
    return line


def _checks(checks: Sequence[CheckRecord]) -> Iterator[RenderableType]:
    passed = [each for each in checks if each.outcome == "passed"]
    if passed:
        tables = len({each.asset for each in passed})
        yield Text.assemble(
            (f"{len(passed)} passed", "green"), f" on {tables} table{'' if tables == 1 else 's'}"
        )
    for each in checks:
        if each.outcome != "passed":
            line = Text.assemble((each.outcome.replace("_", " "), _OUTCOMES.get(each.outcome, "")))
            yield line.append(f"  {each.asset} {each.check}: {printable(each.message)}")


def _indented(parts: Sequence[RenderableType] | Iterator[RenderableType]) -> list[RenderableType]:
    return [Padding(part, (0, 0, 0, 2)) for part in parts]


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return "not known any more"
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _value(value: Any) -> str:
    text = _moment(value) if isinstance(value, datetime) else printable(str(value))
    return _cut(text, _VALUE_CHARACTERS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _document(way: Way) -> dict[str, Any]:
    event, batch, reject = way.event, way.event.batch, way.event.reject
    return {
        "stream": event.named.stream.name,
        "event_id": event.named.event_id,
        "named_by": event.named.way,
        "state": event.state,
        "sentence": event.sentence,
        "log": {"place": event.held_in, "still_holds_it": event.in_log},
        "sent_at": event.sent_at,
        "key": event.key,
        "headers": event.headers,
        "payload": event.payload,
        "batch": None
        if batch is None
        else {"batch_id": batch.number, "version": batch.version, "first": batch.start, "end": batch.end},
        "reject": None
        if reject is None
        else {"reason": reject.reason, "detail": reject.detail, "outcome": reject.outcome},
        "staging": None
        if event.staged is None
        else {"version": event.staged_version, "row": _plain(event.staged)},
        "kept": event.kept or None,
        "marts": [_mart_document(mart) for mart in way.marts],
        "checks": [
            {
                "asset": each.asset,
                "check": each.check,
                "outcome": each.outcome,
                "message": each.message,
                "checked_at": each.checked_at,
            }
            for each in way.checks
        ],
        "hops": [{"name": hop.name, "at": hop.at, "seconds": hop.seconds} for hop in way.hops],
        "notes": list(way.notes),
    }


def _mart_document(mart: Mart) -> dict[str, Any]:
    table, found = mart.model.table, mart.rows
    return {
        "table": f"{table.schema}.{table.name}",
        "kind": "view" if table.is_view else "table",
        "built": mart.is_there,
        "version": mart.version,
        "built_at": mart.built_at,
        "match": found.match,
        "by": list(found.by),
        "rows": [_plain(row) for row in found.rows],
        "changed": found.changed,
        "removed": found.removed,
        "unknown": found.unknown or None,
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them; of what it cannot hold exactly, the text."""
    return {
        name: value if isinstance(value, str | int | float | bool | datetime | None | list) else str(value)
        for name, value in row.items()
    }
