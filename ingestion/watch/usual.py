"""What is usual at an hour, from a history of hours: a median and the spread around it, nothing learned.

The median of absolute deviations times 1.4826 estimates the deviation of a normal distribution, and a few
outliers do not move it (Rousseeuw and Croux, "Alternatives to the Median Absolute Deviation", 1993).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

LEARNING = timedelta(days=7)
"""A shorter history says nothing of nights and weekends."""
HISTORY = timedelta(days=28)
_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEWEST_WEEKS = 3
_FEWEST_DAYS = 7
_SPREADS = 5.0
_BEYOND = 2.0
_NORMAL = 1.4826


@dataclass(frozen=True)
class Usual:
    """A range that a value is in as a rule.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        center: The median.
        hours: From how many hours of the history.
        same_day: Whether only hours of the same day of the week were looked at.
    """

    low: float
    high: float
    center: float
    hours: int
    same_day: bool

    def holds(self, value: float) -> bool:
        """Whether a value is usual."""
        return self.low <= value <= self.high


def usual(
    history: Iterable[tuple[datetime, float]], at: datetime, *, least_spread: Callable[[float], float]
) -> Usual | None:
    """What is usual at an hour; None while the history is shorter than a week or has no such hours.

    The same hour of the week counts, and its oddest value does not: one outage does not make the next one
    usual. Before three weeks have passed, the same hour of every day counts, weekends and all. The range is
    the median and five spreads, and at least a little more than was seen there. A spread is that of these
    hours, and no less than what all hours of the history show: three or four values alone show too little.

    Args:
        history: Beginnings of hours, UTC, with a value each; of the last four weeks those before `at` count.
        at: The beginning of the hour in question.
        least_spread: Median → a spread that is not fallen short of, such as that of chance.
    """
    before = [(hour, value) for hour, value in history if at - HISTORY <= hour < at]
    if not before or at - min(hour for hour, _ in before) < LEARNING:
        return None
    weekly = _by_phase(before, _WEEK)
    values, same_day = weekly.get(_phase(at, _WEEK), []), True
    if len(values) < _FEWEST_WEEKS:
        values, same_day = _by_phase(before, _DAY).get(_phase(at, _DAY), []), False
    if not same_day and len(values) < _FEWEST_DAYS:
        return None
    center = median(values)
    spread = max(_deviation(values, center), _restlessness(weekly) * abs(center), least_spread(center))
    seen = sorted(values, key=lambda value: abs(value - center))
    low, *_, high = sorted(seen[:-1] if same_day else seen)
    return Usual(
        low=min(low - _BEYOND * least_spread(low), center - _SPREADS * spread),
        high=max(high + _BEYOND * least_spread(high), center + _SPREADS * spread),
        center=center,
        hours=len(values),
        same_day=same_day,
    )


def _by_phase(history: Iterable[tuple[datetime, float]], period: timedelta) -> dict[timedelta, list[float]]:
    """How far into a period, such as a week → the values of these hours."""
    found: dict[timedelta, list[float]] = defaultdict(list)
    for hour, value in history:
        found[_phase(hour, period)].append(value)
    return found


def _phase(hour: datetime, period: timedelta) -> timedelta:
    return (hour - _EPOCH) % period


def _deviation(values: Sequence[float], center: float) -> float:
    return _NORMAL * median(abs(value - center) for value in values)


def _restlessness(weekly: Mapping[timedelta, Sequence[float]]) -> float:
    """How far a value is from the median of its hour of the week as a rule, as a share of that."""
    shares = [
        abs(value - center) / abs(center)
        for values in weekly.values()
        if len(values) >= _FEWEST_WEEKS and (center := median(values))
        for value in values
    ]
    return _NORMAL * median(shares) if shares else 0.0
