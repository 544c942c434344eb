"""Group commit without a broker: each spool stops by itself, and each lane keeps its own order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.spool.guarded import Limits
from ingestion.spool.intake import Intake
from ingestion.spool.lanes import Place
from ingestion.spool.reader import SpoolReader
from ingestion.spool.writer import SpoolEvent

TINY = Limits(spool_max_bytes=1, segment_bytes=1, blocked_seconds=0, waiting_bytes=2 * 2**20)


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake[str]]:
    made: Intake[str] = Intake(tmp_path, ["a", "b"], limits=TINY, unrouted="x.unrouted")
    yield made
    made.close()


def stored(intake: Intake[str], lane: str, receipt: str, *, to: tuple[str, ...] | None = None) -> list[str]:
    intake.take(SpoolEvent(b"t", b"1", None, 1), (lane,) if to is None else to, receipt=receipt, lane=lane)
    return intake.commit(at_once=True)


def test_a_full_spool_holds_up_its_own_lane(intake: Intake[str], tmp_path: Path) -> None:
    assert [stored(intake, "a", f"a{n}") for n in range(3)] == [["a0"], ["a1"], []]
    assert list(intake.errors) == ["a"]
    for number in range(5):
        reader = SpoolReader(tmp_path / "b")
        reader.trim(number)  # this stream is drained
        reader.close()
        assert stored(intake, "b", f"b{number}") == [f"b{number}"]
    assert (intake.waiting, intake.waiting_of("a"), intake.waiting_of("b")) == (1, 1, 0)
    SpoolReader(tmp_path / "a").trim(2)
    assert intake.commit(at_once=True) == ["a2"]
    assert intake.errors == {}


def test_receipts_of_a_lane_do_not_overtake_each_other(intake: Intake[str]) -> None:
    for number in range(2):
        stored(intake, "a", f"a{number}")
    assert stored(intake, "a", "full") == []
    assert stored(intake, "a", "stored", to=("b",)) == []  # its own spool holds it, and it waits all the same
    assert intake.waiting_of("a") == 2


def test_an_event_is_safe_when_every_stream_that_wants_it_has_it(intake: Intake[str], tmp_path: Path) -> None:
    for number in range(2):
        stored(intake, "a", f"a{number}")
    assert stored(intake, "b", "both", to=("b", "a")) == [], "one of them is full"
    SpoolReader(tmp_path / "a").trim(2)
    assert intake.commit(at_once=True) == ["both"]
    assert intake.positions == {"a": 3, "b": 1}


def test_a_lane_has_its_share_of_the_credit(intake: Intake[str]) -> None:
    for number in range(2):
        stored(intake, "a", f"a{number}")
    intake.take(SpoolEvent(b"t", b"x" * 2**20, None, 1), ("a",), receipt="large", lane="a")
    assert (intake.is_overfull("a"), intake.is_overfull("b")) == (True, False)


def test_what_no_stream_takes_is_stored_before_its_receipt_comes_back(
    intake: Intake[str], tmp_path: Path
) -> None:
    assert not (tmp_path / "x.unrouted").exists()
    assert stored(intake, "a", "nobody's", to=()) == ["nobody's"]
    bounds = SpoolReader(tmp_path / "x.unrouted").bounds()
    assert bounds is not None
    assert bounds.end == 1


def test_each_event_hears_where_it_is_durable_before_its_receipt_comes_back(
    intake: Intake[str], tmp_path: Path
) -> None:
    places: list[Place] = []
    for number in range(3):
        event = SpoolEvent(b"t", b"%d" % number, None, 1)
        intake.take(event, ("a", "b"), receipt=f"{number}", lane="a", placed=places.append)
    assert places == []
    assert intake.commit(at_once=True) == ["0", "1", "2"]
    found = {(place.spool, place.log_id, place.position) for place in places}
    bounds = {name: SpoolReader(tmp_path / name).bounds() for name in ("a", "b")}
    assert found == {(name, bounds[name].log_id, number) for name in ("a", "b") for number in range(3)}


def test_a_full_spool_says_so_until_it_is_drained(intake: Intake[str], tmp_path: Path) -> None:
    for number in range(2):
        assert intake.held("a") is None
        stored(intake, "a", f"a{number}")
    stored(intake, "a", "full")
    held = intake.held("a")
    assert held
    assert held.is_full
    assert "holds" in held.reason
    intake.revise(lambda receipt: None)  # nobody waits any more, so only measuring can find out
    SpoolReader(tmp_path / "a").trim(2)
    intake.commit()
    assert intake.held("a") is None


def test_what_waits_gets_another_receipt_or_is_dropped(intake: Intake[str], tmp_path: Path) -> None:
    for number in range(2):
        stored(intake, "a", f"a{number}")
    for receipt in ("before", "dropped"):
        assert stored(intake, "a", receipt) == []
    intake.revise(lambda receipt: {"before": "after"}.get(receipt))
    assert intake.waiting_of("a") == 1
    SpoolReader(tmp_path / "a").trim(2)
    assert intake.commit(at_once=True) == ["after"]
    assert intake.positions == {"a": 3, "b": 0}


def test_what_a_spool_keeps_is_given_from_any_place_on(tmp_path: Path) -> None:
    made: Intake[str] = Intake(tmp_path, ["a", "b"], limits=Limits(), unrouted="x.unrouted")
    events = [SpoolEvent(b"t", str(number).encode(), '{"n": 1}', 1_000_000 + number) for number in range(4)]
    for event in events:
        made.take(event, ("a",), receipt="r", lane="a")
    made.commit(at_once=True)
    (kept,) = made.kept("a", after=None)
    assert kept.first == 0
    assert kept.events["value"].to_pylist() == [event.value for event in events]
    (later,) = made.kept("a", after=Place("a", kept.log_id, 1))
    assert (later.log_id, later.first) == (kept.log_id, 2)
    assert later.events.equals(kept.events.slice(2))
    assert list(made.kept("a", after=Place("a", "another log", 3))) == [kept]
    assert list(made.kept("a", after=Place("a", kept.log_id, 3))) == []
    assert list(made.kept("b", after=None)) == []


def test_after_the_older_segments_comes_the_newest_one(tmp_path: Path) -> None:
    made: Intake[str] = Intake(tmp_path, ["a"], limits=Limits(segment_bytes=1), unrouted="x.unrouted")
    for number in range(3):
        stored(made, "a", str(number))
    (newest,) = made.kept("a", after="older segments")
    assert (newest.first, newest.events.num_rows) == (2, 1)
    made.close()
