"""Charts as SVG, of a query's rows: lines and bars, light and dark, read aloud as a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from orchestration.page.html import Html, nothing, tag

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640.0, 220.0, 52.0, 22.0, 8.0
_COLOURS = 6
_MOST_BARS = 60


@dataclass(frozen=True)
class Series:
    """A line, or bars of one colour.

    Attributes:
        name: What it is.
        points: Place along, as a number or a moment or a word, and height.
    """

    name: str
    points: tuple[tuple[Any, float], ...]


def series_of(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Series]:
    """Lines of rows: the first column along, numbers up; a column of text keeps lines apart."""
    if not rows or len(columns) < 2:
        return []
    kinds = [_kind([row[at] for row in rows]) for at in range(len(columns))]
    groups = [at for at in range(1, len(columns)) if kinds[at] == "text"]
    numbers = [at for at in range(1, len(columns)) if kinds[at] == "number"]
    found: dict[str, list[tuple[Any, float]]] = {}
    for row in rows:
        if row[0] is None:
            continue
        group = ", ".join(str(row[at]) for at in groups[:1])
        for at in numbers:
            if row[at] is None:
                continue
            parts = [group] if group else []
            parts += [columns[at]] if len(numbers) > 1 or not group else []
            found.setdefault(" ".join(parts), []).append((row[0], float(row[at])))
    return [Series(name, tuple(points)) for name, points in found.items()]


def _kind(values: Sequence[Any]) -> str:
    there = [value for value in values if value is not None]
    if there and all(
        isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in there
    ):
        return "number"
    if there and all(isinstance(value, datetime | date) for value in there):
        return "time"
    return "text"


def line(series: Sequence[Series], *, unit: str = "") -> Html:
    """Lines over time, or over a number."""
    points = [(_place(x), y) for each in series for x, y in each.points]
    if not points or any(x is None for x, _ in points):
        return nothing("There is nothing to draw: the first column has to be a time or a number.")
    low, high = _range([y for _, y in points])
    first, last = min(x for x, _ in points if x is not None), max(x for x, _ in points if x is not None)
    span = (last - first) or 1.0
    drawn = []
    for number, each in enumerate(series):
        placed = sorted((float(_place(x) or 0.0), y) for x, y in each.points)
        at = [f"{_across((x - first) / span):.1f},{_down(y, low, high):.1f}" for x, y in placed]
        drawn.append(tag("polyline", points=" ".join(at), class_=f"series s{number % _COLOURS}"))
        if len(at) == 1:
            x, _, y = at[0].partition(",")
            drawn.append(tag("circle", cx=x, cy=y, r=3, class_=f"dot s{number % _COLOURS}"))
    ends = [
        _written(min((x for each in series for x, _ in each.points), key=_place_or_zero)),
        _written(max((x for each in series for x, _ in each.points), key=_place_or_zero)),
    ]
    return _framed(drawn, series, low, high, ends, unit)


def bars(series: Sequence[Series], *, unit: str = "") -> Html:
    """Bars, a place for each value of the first column."""
    places = list(dict.fromkeys(x for each in series for x, _ in each.points))[:_MOST_BARS]
    if not places:
        return nothing("There is nothing to draw.")
    low, high = _range([*(y for each in series for _, y in each.points), 0.0])
    step, drawn = 1.0 / len(places), list[Html]()
    width = step * 0.8 / max(len(series), 1)
    for number, each in enumerate(series):
        for x, y in each.points:
            if x not in places:
                continue
            left = _across(places.index(x) * step + step * 0.1 + number * width)
            top, foot = sorted((_down(y, low, high), _down(0.0, low, high)))
            drawn.append(
                tag(
                    "rect",
                    tag("title", f"{_written(x)} {each.name}: {_number(y)}{unit}"),
                    x=f"{left:.1f}",
                    y=f"{top:.1f}",
                    width=f"{width * (_WIDTH - _LEFT):.1f}",
                    height=f"{max(foot - top, 0.5):.1f}",
                    class_=f"bar s{number % _COLOURS}",
                )
            )
    return _framed(drawn, series, low, high, [_written(places[0]), _written(places[-1])], unit)


def _framed(
    drawn: Sequence[Html], series: Sequence[Series], low: float, high: float, ends: Sequence[str], unit: str
) -> Html:
    parts: list[Html] = []
    for value in (low, (low + high) / 2, high):
        y = _down(value, low, high)
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        parts.append(
            tag("text", f"{_number(value)}", x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end", class_="axis")
        )
    parts.append(tag("text", ends[0], x=_LEFT, y=_HEIGHT - 4, class_="axis"))
    if ends[-1] != ends[0]:
        parts.append(tag("text", ends[-1], x=_WIDTH, y=_HEIGHT - 4, text_anchor="end", class_="axis"))
    spoken = "; ".join(f"{each.name}: {_number(each.points[-1][1])}{unit} at last" for each in series[:12])
    picture = tag(
        "svg",
        parts,
        drawn,
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        class_="chart",
        role="img",
        aria_label=spoken,
    )
    marks = [
        tag(
            "span",
            tag("i", class_=f"key s{number % _COLOURS}"),
            each.name,
            " ",
            tag("b", f"{_number(each.points[-1][1])}{unit}"),
        )
        for number, each in enumerate(series[:12])
    ]
    return tag("div", picture, tag("p", marks, class_="legend"))


def _across(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT)


def _down(value: float, low: float, high: float) -> float:
    return _TOP + (1 - (value - low) / (high - low)) * (_HEIGHT - _BOTTOM - _TOP)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - 1.0, high + 1.0
    return (0.0, high) if 0 <= low < high * 0.4 else (low, high)


def _place(value: Any) -> float | None:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return float(value.toordinal()) * 86400
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return float(value)
    return None


def _place_or_zero(value: Any) -> float:
    return _place(value) or 0.0


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%m-%d %H:%M}"
    return _number(value) if isinstance(value, float | Decimal) else str(value)[:24]


def _number(value: Any) -> str:
    number = float(value)
    return f"{number:,.0f}" if abs(number) >= 1000 or number == int(number) else f"{number:,.3g}"
