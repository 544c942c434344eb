"""A report's charts as SVG: outcomes over time, columns over time, how measures are distributed, shares.

Colours are classes of style.css; what a shape stands for is in its title and in the picture's spoken text.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from orchestration.drawing.html import Html, tag
from orchestration.records.history import OUTCOMES

_HEIGHT, _WIDTH = 150.0, 640.0
_LEFT, _BOTTOM, _TOP = 44.0, 20.0, 8.0
_BINS = 40
_STRIPE = 14.0
_SHARES = {"passed": 0.35, "warned": 0.65, "could_not_run": 1.0, "failed": 1.0}
"""How high a slot's bar is: worse is higher, so that it shows without colours too."""


def stripe(slots: Mapping[int, Mapping[str, int]], *, of: int, name: str) -> Html:
    """Outcomes over time, each slot's worst; slots in which nothing ran are empty.

    Args:
        slots: Slot → outcome → how often.
        of: How many slots there are.
        name: Whose they are, for those who hear pages.
    """
    worst = [
        next((each for each in reversed(OUTCOMES) if slots.get(at, {}).get(each)), "") for at in range(of)
    ]
    parts = list[Html]()
    for outcome, group in groupby(range(of), key=lambda at: worst[at]):
        places = list(group)
        if not outcome:
            continue
        counts = {each: sum(slots[at].get(each, 0) for at in places) for each in OUTCOMES}
        said = ", ".join(f"{count:,} {each.replace('_', ' ')}" for each, count in counts.items() if count)
        high = _STRIPE * _SHARES[outcome]
        parts.append(
            tag(
                "rect", tag("title", said), x=places[0], y=f"{_STRIPE - high:g}", width=len(places),
                height=f"{high:g}", class_=outcome,
            )
        )  # fmt: skip
    times = {each: worst.count(each) for each in OUTCOMES}
    spoken = ", ".join(f"{each.replace('_', ' ')} in {count}" for each, count in times.items() if count)
    return tag(
        "svg", parts, viewBox=f"0 0 {of} {_STRIPE:g}", preserveAspectRatio="none", class_="stripe",
        role="img", aria_label=f"{name}: of {of} parts of the time, {spoken or 'nothing ran'}",
    )  # fmt: skip


def columns(
    series: Mapping[str, Mapping[int, float]], *, of: int, ends: tuple[str, str], unit: str = ""
) -> Html:
    """Columns over time, what belongs to one slot on top of each other.

    Args:
        series: Name → slot → how much.
        of: How many slots there are.
        ends: What stands under the first and the last slot.
        unit: Of the heights, with a space before it.
    """
    totals = [sum(values.get(at, 0.0) for values in series.values()) for at in range(of)]
    high, step = _round_up(max(totals, default=0.0)), (_WIDTH - _LEFT) / of
    parts, feet = list[Html](), [0.0] * of
    for number, (name, values) in enumerate(series.items()):
        for at, value in sorted(values.items()):
            if not value:
                continue
            top = _down(feet[at] + value, high)
            parts.append(
                tag(
                    "rect", tag("title", f"{name}: {_number(value)}{unit}"),
                    x=f"{_LEFT + at * step + step * 0.08:.1f}", y=f"{top:.1f}", width=f"{step * 0.84:.1f}",
                    height=f"{max(_down(feet[at], high) - top, 0.6):.1f}", class_=f"s{number % 6}",
                )
            )  # fmt: skip
            feet[at] += value
    spoken = "; ".join(f"{name}: {_number(sum(values.values()))}{unit}" for name, values in series.items())
    marks = [
        tag(
            "span",
            tag("i", class_=f"key s{number % 6}"),
            f"{name} ",
            tag("b", f"{_number(sum(values.values()))}{unit}"),
        )
        for number, (name, values) in enumerate(series.items())
    ]
    return tag("div", _framed(parts, high, ends, spoken), tag("p", marks, class_="legend"))


def distribution(values: Sequence[float], *, budget: float, unit: str = " s") -> Html:
    """How often which value was measured, with a mark at the budget; those over it are coloured as warnings.

    Args:
        values: What was measured; at least one.
        budget: What is promised.
        unit: Of both, with a space before it.
    """
    ordered = sorted(values)
    most = max(budget * 1.3, ordered[min(len(ordered) - 1, int(len(ordered) * 0.98))] * 1.05)
    within = max(1, round(budget / most * _BINS))  # so that the budget lies between two bars
    width, step = budget / within, (_WIDTH - _LEFT) / _BINS
    counts = [0] * _BINS
    for value in values:
        counts[min(max(math.ceil(value / width) - 1, 0), _BINS - 1)] += 1
    high, parts = _round_up(max(counts)), list[Html]()
    for at, count in enumerate(counts):
        if not count:
            continue
        last = at == _BINS - 1
        range_ = (
            f"{at * width:.1f} s or more" if last else f"{at * width:.1f} to {(at + 1) * width:.1f}{unit}"
        )
        top = _down(count, high)
        parts.append(
            tag(
                "rect", tag("title", f"{range_}: {count:,} times"), x=f"{_LEFT + at * step + 0.5:.1f}",
                y=f"{top:.1f}", width=f"{step - 1:.1f}", height=f"{_HEIGHT - _BOTTOM - top:.1f}",
                class_="warned" if at >= within else "passed",
            )
        )  # fmt: skip
    x = _LEFT + within * step
    parts.append(
        tag("rect", x=f"{x - 1:.1f}", y=_TOP, width=2, height=_HEIGHT - _BOTTOM - _TOP, class_="budget")
    )
    parts.append(
        tag("text", f"budget {budget:g}{unit}", x=f"{x + 5:.1f}", y=_TOP + 10, class_="axis strong")
        if x < _WIDTH * 0.7
        else tag(
            "text",
            f"budget {budget:g}{unit}",
            x=f"{x - 5:.1f}",
            y=_TOP + 10,
            text_anchor="end",
            class_="axis strong",
        )
    )
    over = sum(value > budget for value in values)
    spoken = f"{len(values):,} measured, {over:,} over the budget of {budget:g}{unit}"
    return _framed(parts, high, ("0", f"{width * _BINS:.0f}{unit} or more"), spoken)


def shares(parts: Mapping[str, float], *, classes: Sequence[str], unit: str = "") -> Html:
    """One bar cut into parts.

    Args:
        parts: Name → how much.
        classes: Of each part, in the same order.
        unit: With a space before it.
    """
    total, at, drawn = sum(parts.values()), 0.0, list[Html]()
    for (name, value), kind in zip(parts.items(), classes, strict=True):
        width = 100 * value / total if total else 0.0
        if width:
            title = tag("title", f"{name} {_number(value)}{unit}, {width:.1f} %")
            drawn.append(tag("rect", title, x=f"{at:.2f}", y=0, width=f"{width:.2f}", height=12, class_=kind))
        at += width
    spoken = ", ".join(f"{name} {_number(value)}{unit}" for name, value in parts.items())
    return tag(
        "svg", drawn, viewBox="0 0 100 12", preserveAspectRatio="none", class_="shares", role="img",
        aria_label=spoken,
    )  # fmt: skip


def _framed(drawn: Sequence[Html], high: float, ends: tuple[str, str], spoken: str) -> Html:
    lines = list(_grid(high))
    foot = _HEIGHT - 5
    axis = [
        tag("text", ends[0], x=_LEFT, y=foot, class_="axis"),
        tag("text", ends[1], x=_WIDTH, y=foot, text_anchor="end", class_="axis"),
    ]
    return tag(
        "svg", lines, drawn, axis, viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", class_="chart", role="img",
        aria_label=spoken,
    )  # fmt: skip


def _grid(high: float) -> Iterator[Html]:
    for value in (0.0, high / 2, high):
        y = _down(value, high)
        yield tag("line", x1=_LEFT, x2=_WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid")
        yield tag("text", _number(value), x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end", class_="axis")


def _down(value: float, high: float) -> float:
    return _TOP + (1 - value / (high or 1.0)) * (_HEIGHT - _BOTTOM - _TOP)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, …, so that the axis has round numbers."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size < value:
        for factor in (1, 2, 5):
            if size * factor >= value:
                return size * factor
        size *= 10
    return size


def _number(value: float) -> str:
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.3g}"
