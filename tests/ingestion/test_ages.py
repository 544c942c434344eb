"""What is really older than an age, with a clock that is set, and a machine that is started again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.upkeep.ages import Ages, Moment, note_moment, this_moment

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGAN = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


class Machine:
    """A machine whose upkeep runs every quarter of an hour."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, Moment("first", 500.0, BEGAN)
        self.ages = self.upkeep()

    def upkeep(self, *, keep: bool = True) -> Ages:
        return note_moment(self.path, self.now, steady_for=HOUR, keep=keep)

    def runs(self, span: timedelta) -> None:
        every = timedelta(minutes=15) if span < DAY else timedelta(hours=2)
        seconds = every.total_seconds()
        for _ in range(int(span / every)):
            self.now = replace(self.now, running=self.now.running + seconds, wall=self.now.wall + seconds)
            self.ages = self.upkeep()

    def is_set(self, by: timedelta) -> None:
        self.now = replace(self.now, wall=self.now.wall + by.total_seconds())

    def starts_again(self, *, off: timedelta = timedelta(0)) -> None:
        self.now = Moment(f"{self.now.boot}+", 10.0, self.now.wall + off.total_seconds() + 10)
        self.ages = self.upkeep()

    def age(self, nominal: timedelta) -> timedelta | None:
        """What is taken for so old by its stamp, seen from the present."""
        before = self.ages.before(nominal)
        return None if before is None else datetime.fromtimestamp(self.now.wall, UTC) - before


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "moments.json")


def test_the_first_upkeep_deletes_nothing_by_its_age(machine: Machine) -> None:
    assert machine.age(DAY) is None
    assert "in 60 min of a steady clock" in machine.ages.waits
    machine.runs(timedelta(minutes=45))
    assert machine.age(DAY) is None
    machine.runs(timedelta(minutes=15))
    assert (machine.age(DAY), machine.ages.waits) == (DAY, "")


def test_a_clock_that_is_set_forward_makes_nothing_older(machine: Machine) -> None:
    machine.runs(10 * HOUR)
    machine.is_set(3 * DAY)
    machine.runs(timedelta(minutes=45))
    assert machine.age(DAY) is None, "it was set a moment ago"
    machine.runs(HOUR)
    # What was written before is stamped three days too early, what was written since is stamped rightly.
    assert machine.age(timedelta(minutes=30)) == timedelta(minutes=30)
    assert machine.age(DAY) == 4 * DAY
    machine.runs(2 * DAY)
    assert machine.age(DAY) == DAY, "all that young is from after the step"
    assert machine.age(7 * DAY) == 10 * DAY


def test_a_clock_that_is_corrected_is_believed_again(machine: Machine) -> None:
    machine.runs(10 * HOUR)
    machine.is_set(3 * DAY)
    machine.runs(2 * HOUR)
    machine.is_set(-3 * DAY)
    machine.runs(2 * HOUR)
    assert machine.age(DAY) == DAY
    machine.is_set(-DAY)
    machine.runs(2 * HOUR)
    assert machine.age(2 * DAY) == 2 * DAY, "what was written before looks younger, which harms nothing"


def test_a_start_of_the_machine_waits_for_an_hour_and_believes_how_long_it_was_off(machine: Machine) -> None:
    machine.runs(10 * HOUR)
    machine.starts_again(off=5 * DAY)
    assert machine.age(DAY) is None
    machine.is_set(-4 * DAY)  # its battery was empty; a time service corrects that
    machine.runs(timedelta(minutes=45))
    assert machine.age(DAY) is None
    machine.runs(HOUR)
    assert machine.age(DAY) == DAY


def test_a_step_before_a_start_is_not_forgotten(machine: Machine) -> None:
    machine.runs(10 * HOUR)
    machine.is_set(3 * DAY)
    machine.runs(HOUR)
    machine.starts_again()
    machine.runs(2 * HOUR)
    assert machine.age(DAY) == 4 * DAY


def test_a_slow_correction_is_not_a_step(machine: Machine) -> None:
    for _ in range(20):
        machine.is_set(timedelta(seconds=1))
        machine.runs(timedelta(minutes=15))
    assert machine.age(DAY) == DAY


def test_a_dry_run_notes_nothing_and_a_damaged_file_waits(machine: Machine) -> None:
    machine.runs(2 * HOUR)
    before = machine.path.read_bytes()
    machine.upkeep(keep=False)
    assert machine.path.read_bytes() == before
    machine.path.write_text("[{")
    machine.ages = machine.upkeep()
    assert machine.age(DAY) is None


def test_the_file_stays_small_and_loses_no_step(machine: Machine) -> None:
    machine.runs(5 * DAY)
    machine.is_set(2 * DAY)
    machine.runs(6 * DAY)
    assert machine.path.stat().st_size < 40_000
    assert machine.age(7 * DAY) == 9 * DAY
    assert machine.age(5 * DAY) == 5 * DAY


def test_the_clocks_of_this_machine_go_forward_together() -> None:
    first, second = this_moment(), this_moment()
    assert first.boot == second.boot
    assert 0 <= second.running - first.running < 60
    assert abs((second.wall - first.wall) - (second.running - first.running)) < 1
