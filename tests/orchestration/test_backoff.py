"""The arrivals sensor's memory: healthy streams together, failing ones apart and ever more seldom."""

from orchestration.keys import EVERY_MODEL
from orchestration.sensors.backoff import Schedule
from orchestration.sensors.model_pauses import ModelPauses
from orchestration.sensors.pause import Pause


def test_all_healthy_streams_share_a_run() -> None:
    assert Schedule().choose(["a", "b"], now=0) == ["a", "b"]


def test_a_failing_stream_gets_a_run_of_its_own_when_due_however_busy_the_others_are() -> None:
    schedule = Schedule().judge("run1", streams=["a", "b"], failed={"b": "why"}, now=100)
    assert schedule.choose(["a", "b"], now=101) == ["a"]
    assert schedule.choose(["b"], now=101) == []
    assert schedule.next_due(["a", "b"], now=101) == 103
    assert schedule.choose(["a", "b"], now=111) == ["b"]
    assert schedule.judge("run2", streams=["b"], failed={}, now=112).choose(["a", "b"], now=112) == ["a", "b"]


def test_streams_that_fail_again_and_again_do_not_keep_the_healthy_ones_waiting() -> None:
    bad = [f"bad{number}" for number in range(50)]
    schedule = Schedule().judge("run0", streams=["a", *bad], failed=dict.fromkeys(bad, ""), now=0)
    runs = []
    for number in range(40):
        runs.append(schedule.choose([*bad, "a"], now=1000 + number))
        failed = [name for name in runs[-1] if name != "a"]
        schedule = schedule.judge(
            f"run{number}", streams=runs[-1], failed=dict.fromkeys(failed, ""), now=1000 + number
        )
    assert runs[::2] == [[name] for name in bad[:20]]
    assert runs[1::2] == [["a"]] * 20


def test_after_a_crash_every_stream_comes_back_although_the_first_one_is_busy() -> None:
    schedule = Schedule().judge(
        "killed", streams=["a", "b", "c"], failed={"a": "why", "b": "why", "c": "why"}, now=0
    )
    runs = []
    for number in range(4):
        runs.append(schedule.choose(["a", "b", "c"], now=11 + number))
        schedule = schedule.judge(f"run{number}", streams=runs[-1], failed={}, now=11 + number)
    assert runs == [["a"], ["b"], ["c"], ["a", "b", "c"]]


def test_pauses_double_up_to_a_bound_and_end_with_a_success() -> None:
    schedule = Schedule()
    pauses = []
    for number in range(8):
        schedule = schedule.judge(f"run{number}", streams=["a"], failed={"a": "why"}, now=0)
        pauses.append(schedule.pauses["a"].until)
    assert pauses == [3, 6, 12, 24, 48, 96, 192, 300]
    assert schedule.judge("good", streams=["a"], failed={}, now=0).pauses == {}


def test_the_cursor_survives_a_round_trip_and_nonsense_counts_as_none() -> None:
    schedule = Schedule(models="abc").judge("run1", streams=["a"], failed={"a": "why"}, now=5)
    assert Schedule.loads(schedule.dumps()) == schedule
    assert Schedule.loads("{not json") == Schedule.loads(None) == Schedule()


def test_a_model_that_fails_pauses_itself_and_no_stream() -> None:
    schedule = Schedule().judge_models(tried=frozenset({"a", "b"}), failed={"a": "why"}, now=100)
    schedule = schedule.judge("run1", streams=["left", "right"], failed={}, now=100)
    assert schedule.choose(["left", "right"], now=101) == ["left", "right"]
    assert (schedule.not_built.paused(now=101), schedule.not_built.due(now=111)) == ({"a"}, {"a"})
    assert schedule.not_built.next_due(now=101) == 103
    later = schedule.judge_models(tried=frozenset({"b"}), failed={}, now=102)
    assert later.not_built.paused(now=102) == {"a"}
    again = later.judge_models(tried=None, failed={"a": "why"}, now=111)
    assert again.not_built.next_due(now=111) == 117
    assert again.judge_models(tried=frozenset({"a"}), failed={}, now=132).not_built.failing == {}


def test_an_edit_ends_the_pauses_of_models_and_what_was_broken_is_due() -> None:
    known = frozenset({"a", "b", "c"})
    before = ModelPauses().for_project("text1", models=known - {"c"}, broken=["c"])
    before = before.judge(tried=None, failed={"a": "why", "removed": "why"}, now=100)
    assert before.for_project("text1", models=known, broken=[]) is before
    after = before.for_project("text2", models=known, broken=[])
    assert (after.paused(now=101), after.due(now=101)) == (frozenset(), {"a", "c"})
    assert after.broken == ()


def test_when_runs_die_nobody_is_blamed_then_the_models_then_each_stream_alone() -> None:
    models, names = frozenset({"m"}), ["a", "b"]
    first = Schedule().judge_death("run1", streams=names, tried=models, killed=True, now=0)
    assert (first.choose(names, now=1), first.unfinished) == (names, ("a", "b"))
    assert not first.not_built.paused(now=1)
    second = first.judge_death("run2", streams=names, tried=models, killed=True, now=1)
    assert (second.choose(names, now=2), second.not_built.paused(now=2)) == (names, {EVERY_MODEL})
    third = second.judge_death("run3", streams=names, tried=frozenset(), killed=True, now=2)
    assert third.choose(names, now=13) == ["a"]
    assert first.judge("run2", streams=names, failed={}, now=1).died == 0


def test_stopping_the_system_again_and_again_blames_nobody() -> None:
    schedule = Schedule()
    for number in range(5):
        schedule = schedule.judge_death(
            f"run{number}", streams=["a", "b"], tried=None, killed=False, now=number
        )
    assert schedule.choose(["a", "b"], now=6) == ["a", "b"]
    assert not schedule.not_built.failing


def test_a_cursor_of_an_earlier_release_is_read() -> None:
    earlier = '{"judged_run":"r","pauses":{"a":{"failures":1,"until":5.0}},"models":"m","failed_again":true}'
    assert Schedule.loads(earlier) == Schedule("r", {"a": Pause(1, 5.0)}, "m", failed_again=True)
