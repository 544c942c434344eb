"""The arrivals sensor's memory: healthy streams at once, failing ones apart and ever more seldom."""

from orchestration.sensors.backoff import Schedule


def test_all_healthy_streams_share_a_run() -> None:
    assert Schedule().choose(["a", "b"], now=0) == ["a", "b"]


def test_a_failing_stream_holds_up_nobody_and_gets_a_run_of_its_own_when_due() -> None:
    schedule = Schedule().judge("run1", streams=["a", "b"], failed=["b"], now=100)
    assert schedule.choose(["a", "b"], now=101) == ["a"]
    assert schedule.choose(["b"], now=101) == []
    assert schedule.choose(["a", "b"], now=111) == ["a"]
    assert schedule.choose(["b"], now=111) == ["b"]


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
