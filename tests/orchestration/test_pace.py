"""When cycles begin: the oldest event is in its mart within the budget, and cycles begin late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.run.pace import Pace


def begins(pace: Pace, *, after: float, events: int, limit: float = 60.0) -> float:
    """When the next cycle begins, asked as a run asks."""
    now = after
    while rest := pace.rest(now, events=events):
        now += rest
        assert now < limit
    return now


def test_the_first_events_do_not_wait() -> None:
    assert Pace(5.0).rest(100.0, events=1) == 0


def test_events_after_a_pause_do_not_wait() -> None:
    pace = Pace(5.0)
    pace.note(began=0.0, seconds=1.0)
    assert pace.rest(10.0, events=1) == 0


@given(st.floats(0.5, 60.0), st.floats(0.01, 1.5))
def test_what_comes_just_after_a_cycle_read_is_shown_within_the_budget(budget: float, share: float) -> None:
    pace, began, seconds = Pace(budget), 0.0, share * budget
    for _ in range(20):
        pace.note(began=began, seconds=seconds)
        following = begins(pace, after=began + seconds, events=1, limit=1e9)
        oldest = following + seconds - began
        assert oldest <= max(0.85 * budget, seconds + max(seconds, budget / 4)) + 1e-6
        assert following >= began + budget / 4 - 1e-6
        began = following


def test_a_handful_of_events_waits_and_many_do_not() -> None:
    pace = Pace(5.0)
    pace.note(began=0.0, seconds=1.0)
    assert begins(pace, after=1.0, events=13) == pytest.approx(3.25)
    assert begins(pace, after=1.0, events=2_500) == pytest.approx(1.25)
    assert begins(pace, after=2.0, events=2_500) == 2.0


def test_one_slow_cycle_changes_little_and_slow_ones_begin_earlier() -> None:
    pace = Pace(5.0)
    for began, seconds in ((0.0, 1.0), (4.0, 1.0), (8.0, 3.5)):
        pace.note(began=began, seconds=seconds)
    assert begins(pace, after=11.5, events=1) == 11.5
    pace.note(began=12.0, seconds=1.0)
    assert begins(pace, after=13.0, events=1) == pytest.approx(15.25)
    for cycle in range(8):
        pace.note(began=20.0 + cycle, seconds=2.5)
    assert begins(pace, after=29.0, events=1) == 29.0
    pace.note(began=30.0, seconds=2.5)
    assert begins(pace, after=31.0, events=1) == pytest.approx(31.75)
