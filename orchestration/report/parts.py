"""The pieces that a report's sections are made of: sections, tables, durations, moments."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from orchestration.drawing.html import Child, Html, tag


def section(key: str, title: str, *children: Child, note: Child = None) -> Html:
    """A section with its heading, and what stands beside it."""
    head = tag("header", tag("h2", title), tag("p", note, class_="dim") if note else None)
    return tag("section", head, *children, id=key)


def nothing(text: str) -> Html:
    """What a section shows that has nothing to show."""
    return tag("p", text, class_="dim")


def table(columns: Sequence[str], rows: Iterable[Sequence[Child]], *, right: Iterable[str] = ()) -> Html:
    """A table that becomes a list of cards where the screen is narrow.

    Args:
        columns: Their names; one without a name holds sentences or pictures.
        rows: Their cells.
        right: The columns that hold numbers.
    """
    numbers = frozenset(right)
    kinds = ["num" if name in numbers else None if name else "wide" for name in columns]
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
    return tag("div", tag("table", tag("thead", tag("tr", head)), tag("tbody", body)), class_="scroll")


def details(summary: Child, *children: Child) -> Html:
    """What is shown after a click; a printed report shows it open."""
    return tag("details", tag("summary", summary), *children)


def legend(marks: Iterable[tuple[str, str]]) -> Html:
    """What colours stand for: class and words of each."""
    return tag(
        "p", [tag("span", tag("i", class_=f"key {kind}"), words) for kind, words in marks], class_="legend"
    )


def moment(at: datetime | None, *, never: str = "–") -> str:
    """A moment in UTC, to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" if at else never


def lasted(seconds: float | None) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"


def percent(part: float, whole: float) -> str:
    """A share; what is not everything is never shown as 100 %."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if share in (0.0, 100.0):
        return f"{share:.0f} %"
    return f"{min(max(share, 0.01), 99.99):.2f} %" if share > 99 or share < 1 else f"{share:.1f} %"
