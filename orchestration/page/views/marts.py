"""Marts as live tables and charts: the tiles that page.yml declares, or one for each mart."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from orchestration.cli.messages import printable
from orchestration.page import charts
from orchestration.page.html import Child, Html, clock, join, nothing, table, tag, tile
from orchestration.page.look import Reach
from orchestration.page.martcontent import Filled, MartsContent

_SHOWN_CHARACTERS = 200


def marts_tiles(content: MartsContent) -> dict[str, Html]:
    """The tiles of the page.

    Args:
        content: What was read, all of it of one version.
    """
    tiles: dict[str, Html] = {}
    if content.mistake:
        wrong = tag("ul", tag("li", tag("p", content.mistake, class_="sentence")), class_="conditions")
        tiles["mistake"] = tile("page.yml cannot be used", wrong, kind="wide bad")
    if not content.filled and not content.mistake:
        text = "No mart is built yet; the first events build them."
        return {"none": tile("Marts", nothing(text), kind="wide")}
    for number, filled in enumerate(content.filled):
        tiles[f"t{number}"] = _tile(filled, content)
    return tiles


def _tile(filled: Filled, content: MartsContent) -> Html:
    declared = filled.tile
    body: Child
    if filled.why_not:
        body = tag("p", filled.why_not, class_="sentence")
    elif not filled.rows:
        body = nothing("It has no rows yet.")
    elif declared.chart == "number":
        body = tag("p", cell(filled.rows[0][0]), tag("small", declared.unit), class_="big")
    elif declared.chart == "table":
        body = answer_table(filled.columns, filled.rows)
    else:
        draw = charts.line if declared.chart == "line" else charts.bars
        body = draw(charts.series_of(filled.columns, filled.rows), unit=declared.unit)
    kind = "wide" if declared.wide else ""
    version = f"version {content.version:,}" if content.version is not None else ""
    return tile(declared.title, body, reach_line(filled.reach), note=version, kind=kind)


def reach_line(reach: Reach | None) -> Html | None:
    """How far the streams of a mart have come in it."""
    if reach is None or not (reach.fresh_to or reach.complete_to):
        return None
    return tag(
        "p",
        "fresh to ",
        clock(reach.fresh),
        " · complete to ",
        clock(reach.complete),
        " UTC",
        class_="dim note",
    )


def answer_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Html:
    """The rows of an answer."""
    numbers = {
        name
        for at, name in enumerate(columns)
        if any(row[at] is not None for row in rows)
        and all(row[at] is None or _is_number(row[at]) for row in rows)
    }
    named = [name or " " for name in columns]
    return table(named, [[cell(value) for value in row] for row in rows], right=numbers)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def cell(value: Any) -> Child:
    """A value as a table shows it."""
    if value is None:
        return tag("span", "null", class_="dim")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        there = value.astimezone(UTC) if value.tzinfo else value
        return f"{there:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date | Decimal):
        return str(value)
    if isinstance(value, bytes):
        return _cut(f"\\x{value.hex()}")
    if isinstance(value, list | dict):
        return _cut(json.dumps(value, default=str, ensure_ascii=False))
    return _cut(printable(str(value)))


def _cut(text: str) -> Html:
    if len(text) <= _SHOWN_CHARACTERS:
        return join([text])
    return tag("span", f"{text[:_SHOWN_CHARACTERS]} …", title=text[:2000])
