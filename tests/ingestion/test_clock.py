"""Ages of stamps, by a clock that is set meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from ingestion.clock import StampAges

DAY = 86_400.0


class Clocks:
    """A clock that is set, and one that is not."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000.0, 500.0
        self.ages = StampAges(lambda: self.wall, lambda: self.steady)

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def stamp(self) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC)

    def age(self, stamp: datetime) -> float:
        return self.ages.of(stamp) / timedelta(seconds=1)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_without_a_step_an_age_is_the_difference(clocks: Clocks) -> None:
    stamp = clocks.stamp()
    clocks.pass_(3 * DAY)
    assert clocks.age(stamp) == 3 * DAY
    clocks.wall += 20  # slewed
    assert clocks.age(stamp) == 3 * DAY + 20


@pytest.mark.parametrize("step", [3 * DAY, -3 * DAY])
def test_a_step_makes_nothing_older_or_younger(clocks: Clocks, step: float) -> None:
    before = clocks.stamp()
    clocks.pass_(100)
    clocks.wall += step
    assert clocks.age(before) == 100
    after = clocks.stamp()
    clocks.pass_(50)
    assert (clocks.age(before), clocks.age(after)) == (150, 50)


def test_a_step_that_is_taken_back(clocks: Clocks) -> None:
    first = clocks.stamp()
    clocks.pass_(100)
    clocks.wall += DAY
    clocks.age(first)
    second = clocks.stamp()
    clocks.pass_(100)
    clocks.wall -= DAY
    assert clocks.age(second) == 100
    third = clocks.stamp()
    clocks.pass_(100)
    assert (clocks.age(third), clocks.age(second)) == (100, 200)
    assert clocks.age(first) == 300
