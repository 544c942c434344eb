"""Checks that read a lot rest between two, and do not all come back in one cycle."""

from dagster import AssetKey

from orchestration.checks.in_turn import InTurn

MODELS = [AssetKey(["marts", name]) for name in "abcdefghij"]


class Turns:
    """Ten models' checks, and a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.turns = InTurn(MODELS, pause_seconds=15.0, clock=lambda: self.now)

    def cycle(self, *, after: float) -> list[AssetKey]:
        """What a cycle checks that builds all models."""
        self.now += after
        self.turns.built(MODELS)
        return list(self.turns.take())


def test_a_first_build_is_checked_whole() -> None:
    assert Turns().cycle(after=0.0) == MODELS


def test_each_rests_and_then_they_come_spread_over_the_rest() -> None:
    run = Turns()
    run.cycle(after=0.0)
    assert not any(run.cycle(after=2.5) for _ in range(5))
    cycles = [run.cycle(after=2.5) for _ in range(12)]
    assert {len(each) for each in cycles[:5]} == {2}
    assert [key for each in cycles[:5] for key in each] == MODELS, "the longest unchecked first"
    assert [key for each in cycles for key in each].count(MODELS[0]) == 2, "each in about 15 s"


def test_after_a_long_cycle_they_do_not_fall_behind() -> None:
    run = Turns()
    run.cycle(after=0.0)
    assert run.cycle(after=40.0) == MODELS


def test_only_what_was_built_has_a_turn_and_the_end_leaves_nothing_out() -> None:
    run = Turns()
    run.turns.built([MODELS[3], AssetKey("of another room")])
    assert list(run.turns.take()) == [MODELS[3]]
    run.turns.built(MODELS[3:5])
    assert list(run.turns.take()) == [MODELS[4]], "it was never checked; the other rests"
    assert list(run.turns.take(all_of_them=True)) == [MODELS[3]]
    assert not list(run.turns.take(all_of_them=True))


def test_a_check_that_breaks_off_comes_again() -> None:
    run = Turns()
    run.turns.built(MODELS[:1])
    started = run.turns.take()
    next(started)
    del started
    assert list(run.turns.take()) == MODELS[:1]
