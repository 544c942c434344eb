"""Planning: windows are contiguous, fair and bounded; a log that is not the continuation is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.connectors.kafka.declare import KafkaSource
from ingestion.connectors.kafka.log import KafkaLog
from ingestion.errors import LogTruncated
from ingestion.log.port import Bounds, Window
from ingestion.log.positions import Position, check_log, plan_windows
from ingestion.spool.log import SpoolLog

KAFKA = KafkaLog("s", KafkaSource(kafka=("t",)), KafkaAccess(), timeout_seconds=1)
SPOOL = SpoolLog("s", Path("nowhere"))


def test_a_window_runs_from_the_position_to_the_end() -> None:
    assert plan_windows({"t-0": 5}, {"t-0": Bounds(0, 9)}, max_events=100) == {"t-0": Window(5, 9)}


@given(
    st.dictionaries(st.text(min_size=1), st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1),
    st.integers(1, 10**5),
)
def test_windows_are_bounded_and_none_starves(logs: dict[str, tuple[int, int]], limit: int) -> None:
    starts = {name: start for name, (start, _) in logs.items()}
    bounds = {name: Bounds(0, start + behind) for name, (start, behind) in logs.items()}
    windows = plan_windows(starts, bounds, max_events=limit)
    assert sum(window.end - window.start for window in windows.values()) <= limit + len(windows)
    for name, window in windows.items():
        assert window.start == starts[name]
        assert window.end <= bounds[name].end
        assert (window.end > window.start) == (bounds[name].end > window.start)


@pytest.mark.parametrize(
    ("position", "held", "words"),
    [
        (Position(5), None, "has it no more"),
        (Position(5, "one"), Bounds(0, 9, "two"), "deleted and made again"),
        (Position(5), Bounds(0, 4), "ends at 4, before our position 5"),
        (Position(5), Bounds(8, 9), "retention deleted 3 unread positions"),
    ],
)
def test_a_log_that_does_not_continue_ours_is_refused(
    position: Position, held: Bounds | None, words: str
) -> None:
    with pytest.raises(LogTruncated, match=words):
        check_log("s", KAFKA, {"t-0": position}, {} if held is None else {"t-0": held})


@pytest.mark.parametrize(
    "held", [None, Bounds(0, 9, "two"), Bounds(0, 4, "one"), Bounds(8, 9, "one")], ids=lambda held: str(held)
)
def test_a_spool_that_does_not_continue_ours_is_refused_with_its_way_out(held: Bounds | None) -> None:
    with pytest.raises(LogTruncated, match=r"^stream 's': t-0 .*'millrace adopt s' goes on with the spool"):
        check_log("s", SPOOL, {"t-0": Position(5, "one")}, {} if held is None else {"t-0": held})


def test_a_log_that_continues_is_accepted() -> None:
    for log in (KAFKA, SPOOL):
        check_log("s", log, {"t-0": Position(5, "x")}, {"t-0": Bounds(5, 5, "x"), "t-1": Bounds(0, 1, "x")})
