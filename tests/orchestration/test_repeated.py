"""A check that passes with every batch is recorded now and then; one that fails always."""

from dagster import AssetCheckEvaluation, AssetKey, AssetMaterialization

from orchestration.keys import CPU_METADATA
from orchestration.run.recorded import Event
from orchestration.run.repeated import RepeatedPasses

BUILT = AssetMaterialization(AssetKey("a"))


def check(name: str, *, passed: bool = True, cpu: float = 0.5) -> AssetCheckEvaluation:
    return AssetCheckEvaluation(
        asset_key=AssetKey("a"), check_name=name, passed=passed, metadata={CPU_METADATA: cpu}
    )


def said(events: list[Event]) -> list[tuple[str, bool, float]]:
    return [
        (str(each.check_name), each.passed, float(each.metadata[CPU_METADATA].value))  # type: ignore[arg-type]
        for each in events
        if isinstance(each, AssetCheckEvaluation)
    ]


def test_a_pass_that_follows_a_pass_is_held_until_the_end() -> None:
    passes = RepeatedPasses(pause_seconds=60)
    events = [*passes.thinned([BUILT, check("x"), check("y"), BUILT, check("x"), check("x", cpu=0.25)])]
    assert said(events) == [("x", True, 0.5), ("y", True, 0.5)]
    assert [each for each in events if each == BUILT] == [BUILT, BUILT]
    assert said([*passes.rest()]) == [("x", True, 0.75)], "the CPU-seconds of all that were held"
    assert [*passes.rest()] == []


def test_what_fails_and_the_first_pass_after_it_is_recorded_at_once() -> None:
    passes = RepeatedPasses(pause_seconds=60)
    found = [True, True, False, False, True, True]
    events = [*passes.thinned(check("x", passed=each) for each in found)]
    assert said(events) == [("x", True, 0.5), ("x", False, 1.0), ("x", False, 0.5), ("x", True, 0.5)]
    assert said([*passes.rest()]) == [("x", True, 0.5)]


def test_after_the_pause_a_pass_is_recorded_again() -> None:
    passes = RepeatedPasses(pause_seconds=0)
    assert len([*passes.thinned([check("x"), check("x")])]) == 2
    assert [*passes.rest()] == []


def test_what_was_recorded_again_is_not_held_as_well() -> None:
    passes = RepeatedPasses(pause_seconds=60)
    assert said([*passes.thinned([check("x"), check("x"), check("x", passed=False)])])[-1] == (
        "x",
        False,
        1.0,
    )
    assert [*passes.rest()] == []
