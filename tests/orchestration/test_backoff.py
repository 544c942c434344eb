"""The arrivals sensor's memory: healthy streams together, failing ones apart and ever more seldom."""

from orchestration.sensors.backoff import Schedule


def test_all_healthy_streams_share_a_run() -> None:
    assert Schedule().choose(["a", "b"], now=0) == ["a", "b"]


def test_a_failing_stream_gets_a_run_of_its_own_when_due_however_busy_the_others_are() -> None:
    schedule = Schedule().judge("run1", streams=["a", "b"], failed=["b"], now=100)
    assert schedule.choose(["a", "b"], now=101) == ["a"]
    assert schedule.choose(["b"], now=101) == []
    assert schedule.next_due(["a", "b"], now=101) == 110
    assert schedule.choose(["a", "b"], now=111) == ["b"]
    assert schedule.judge("run2", streams=["b"], failed=[], now=112).choose(["a", "b"], now=112) == ["a", "b"]


def test_streams_that_fail_again_and_again_do_not_keep_the_healthy_ones_waiting() -> None:
    bad = [f"bad{number}" for number in range(50)]
    schedule = Schedule().judge("run0", streams=["a", *bad], failed=bad, now=0)
    runs = []
    for number in range(40):
        runs.append(schedule.choose([*bad, "a"], now=1000 + number))
        failed = [name for name in runs[-1] if name != "a"]
        schedule = schedule.judge(f"run{number}", streams=runs[-1], failed=failed, now=1000 + number)
    assert runs[::2] == [[name] for name in bad[:20]]
    assert runs[1::2] == [["a"]] * 20


def test_after_a_crash_every_stream_comes_back_although_the_first_one_is_busy() -> None:
    schedule = Schedule().judge("killed", streams=["a", "b", "c"], failed=["a", "b", "c"], now=0)
    runs = []
    for number in range(4):
        runs.append(schedule.choose(["a", "b", "c"], now=11 + number))
        schedule = schedule.judge(f"run{number}", streams=runs[-1], failed=[], now=11 + number)
    assert runs == [["a"], ["b"], ["c"], ["a", "b", "c"]]


def test_pauses_double_up_to_a_bound_and_end_with_a_success() -> None:
    schedule = Schedule()
    pauses = []
    for number in range(8):
        schedule = schedule.judge(f"run{number}", streams=["a"], failed=["a"], now=0)
        pauses.append(schedule.pauses["a"].until)
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    assert schedule.judge("good", streams=["a"], failed=[], now=0).pauses == {}


def test_the_cursor_survives_a_round_trip_and_nonsense_counts_as_none() -> None:
    schedule = Schedule(models="abc").judge("run1", streams=["a"], failed=["a"], now=5)
    assert Schedule.loads(schedule.dumps()) == schedule
    assert Schedule.loads("{not json") == Schedule.loads(None) == Schedule()
