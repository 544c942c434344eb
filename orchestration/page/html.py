"""The parts of the live page's HTML. Elements themselves, and their escaping: drawing/html.py."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from orchestration.cli.tables import age
from orchestration.drawing.html import Child, Html, join, tag

__all__ = ["Child", "Html", "clock", "join", "nothing", "since", "table", "tag", "tile"]


def since(moment: datetime | None, *, now: datetime, never: str = "never") -> Html:
    """How long ago something was; the browser counts on."""
    if moment is None:
        return tag("span", never, class_="dim")
    stamp = moment.astimezone(UTC).isoformat(timespec="seconds")
    return tag("time", age(moment, now=now), datetime=stamp, title=stamp.replace("+00:00", " UTC"))


def clock(moment: datetime | None, *, never: str = "–") -> Html:
    """A moment as a time of day, UTC, with its date where the pointer rests."""
    if moment is None:
        return tag("span", never, class_="dim")
    there = moment.astimezone(UTC)
    return tag("span", f"{there:%H:%M:%S}", class_="moment", title=f"{there:%Y-%m-%d %H:%M:%S} UTC")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    right: Iterable[str] = (),
    texts: Iterable[str] = (),
) -> Html:
    """A table that becomes a list of cards where the screen is narrow.

    Args:
        columns: Their names; one without a name holds sentences.
        rows: Their cells.
        right: The columns that hold numbers.
        texts: The columns that hold long texts.
    """
    numbers, long = frozenset(right), frozenset(texts) | {""}
    kinds = ["num" if name in numbers else "note" if name in long else None for name in columns]
    head = [tag("th", name, scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)]
    body = [
        tag(
            "tr",
            [
                tag("td", cell, class_=kind, data_label=name or None)
                for cell, kind, name in zip(row, kinds, columns, strict=True)
            ],
        )
        for row in rows
    ]
    return tag(
        "div", tag("table", tag("thead", tag("tr", head)), tag("tbody", body)), class_="scroll", tabindex="0"
    )


def tile(title: str, *children: Child, note: Child = None, kind: str = "") -> Html:
    """A tile of a page: its heading, what stands beside it, and its content."""
    head = tag("header", tag("h2", title), tag("span", note, class_="dim note") if note else None)
    return tag("section", head, *children, class_=f"tile {kind}".rstrip())


def nothing(text: str) -> Html:
    """What a tile shows while it has nothing to show."""
    return tag("p", text, class_="empty")
