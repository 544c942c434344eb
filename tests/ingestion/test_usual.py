"""What is usual, against made-up histories of which the truth is known."""

from datetime import UTC, datetime, timedelta
from math import pi, sin, sqrt
from random import Random

import pytest

from ingestion.watch.usual import LEARNING, Usual, usual

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rate(hour: datetime) -> float:
    """Events an hour: by day more than by night, on weekends a tenth."""
    weekend = 0.1 if hour.weekday() >= 5 else 1.0
    return weekend * (3000 + 2500 * sin(pi * (hour.hour - 6) / 12))


def history(days: int, seed: int) -> list[tuple[datetime, float]]:
    chance = Random(seed)
    hours = [MONDAY + HOUR * number for number in range(24 * days)]
    return [(hour, max(round(chance.gauss(rate(hour), sqrt(rate(hour)))), 0)) for hour in hours]


def of_chance(center: float) -> float:
    return max(sqrt(center), 0.08 * center, 1.0)


def judged(past: list[tuple[datetime, float]], at: datetime) -> Usual:
    found = usual(past, at, least_spread=of_chance)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(3))
def test_ordinary_hours_are_usual_in_every_week(seed: int) -> None:
    """Of four weeks of hours not one in a hundred is found odd, weekends included."""
    past = history(56, seed)
    odd = [hour for hour, value in past[24 * 28 :] if not judged(past, hour).holds(value)]
    assert len(odd) <= 7


@pytest.mark.parametrize("at", [MONDAY + timedelta(days=30, hours=12), MONDAY + timedelta(days=32, hours=12)])
@pytest.mark.parametrize(("factor", "is_usual"), [(1.0, True), (0.4, False), (0.0, False), (2.0, False)])
def test_a_weekday_noon_of_less_or_more_events_is_odd(at: datetime, factor: float, is_usual: bool) -> None:
    assert judged(history(30, 7), at).holds(rate(at) * factor) is is_usual


def test_the_volume_of_a_weekday_is_odd_on_a_sunday() -> None:
    sunday = MONDAY + timedelta(days=27, hours=12)
    found = judged(history(27, 7), sunday)
    assert found.same_day
    assert found.holds(rate(sunday))
    assert not found.holds(rate(sunday - timedelta(days=2)))


def test_one_outage_does_not_make_the_next_one_usual() -> None:
    past = dict(history(30, 7))
    at = MONDAY + timedelta(days=30, hours=12)
    past[at - timedelta(days=7)] = 0.0
    assert not judged(list(past.items()), at).holds(0)


def test_nothing_is_judged_before_a_week_has_passed() -> None:
    past = history(30, 7)
    assert usual(past, MONDAY + LEARNING - HOUR, least_spread=of_chance) is None
    assert not judged(past, MONDAY + LEARNING).same_day
    assert usual([], MONDAY, least_spread=of_chance) is None


def test_what_is_older_than_four_weeks_does_not_count() -> None:
    past = [(hour, value * 10) for hour, value in history(30, 7)]
    now = MONDAY + timedelta(days=58, hours=12)
    assert usual(past, now, least_spread=of_chance) is None
    assert usual(past, now + timedelta(days=9), least_spread=of_chance) is None
