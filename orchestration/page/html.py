"""HTML as values: what is not marked as HTML is escaped, wherever it came from."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from orchestration.cli.tables import age

VOID = frozenset({"br", "input", "link", "meta"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element.

    Args:
        name: Of the element.
        *children: Text, which is escaped, Html, or lists of these; None is left out.
        **attributes: An underscore stands for a hyphen, one at the end is cut off; True is an attribute
            without a value, None and False are left out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Children one after another."""
    return Html("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return escape(str(child))
    return join(child)


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


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
