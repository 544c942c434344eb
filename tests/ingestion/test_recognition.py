"""A log is more than its length: the last event that was read is compared before another one is taken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from ingestion.errors import LogTruncated
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Break, Window
from ingestion.log.positions import Position, find_break, find_breaks
from ingestion.log.recognition import LastEvent, last_events, read_on, recognise
from tests.fakes.tape import Deck, Reel, TapeLog, TapeSource

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = {
    "source_partition": "p",
    "position": 1,
    "event_key": b"k",
    "value": b"v",
    "headers": None,
    "event_time": NOON,
}


def tape(*values: bytes | None) -> tuple[TapeLog, Reel]:
    """A log of one partition, `reel-0`, with these events."""
    deck = Deck()
    deck.reels["reel"].record(*values, at=NOON)
    return TapeLog("songs", TapeSource(tape="reel"), deck), deck.reels["reel"]


def position_at(log: TapeLog, next_position: int) -> Position:
    """What the ledger would hold of it, had a batch read it so far."""
    (chunk,) = log.read({"reel-0": Window(0, next_position)})
    return Position(next_position, "first", last_event=str(last_events(chunk.events)["reel-0"]))


def read(log: TapeLog, position: Position, end: int) -> list[bytes | None]:
    """The values from a position on."""
    positions, windows = {"reel-0": position}, {"reel-0": Window(position.next, end)}
    chunks = list(read_on("songs", log, windows, positions=positions, bounds=log.bounds()))
    assert [chunk.positions for chunk in chunks] == [{"reel-0": end}]
    return [value for chunk in chunks for value in chunk.events["value"].to_pylist()]


def test_the_log_that_was_read_goes_on_after_its_last_event() -> None:
    log, _ = tape(b"a", None, b"c", None)
    for start, values in [(1, [None, b"c", None]), (2, [b"c", None]), (4, [])]:
        assert read(log, position_at(log, start), 4) == values
        assert not recognise(log, {"reel-0": position_at(log, start)}, log.bounds()).others


LATER = NOON + timedelta.resolution


@pytest.mark.parametrize(
    "change", [{"value": b"x"}, {"value": None}, {"event_key": b"x"}, {"event_time": LATER}], ids=str
)
def test_another_event_in_its_place_is_another_log(change: dict[str, object]) -> None:
    log, reel = tape(b"a", b"b", b"c")
    position = position_at(log, 2)
    reel.events[1] |= change
    with pytest.raises(LogTruncated, match="stream 'songs': reel-0 was wound back before our position 2"):
        read(log, position, 3)
    assert recognise(log, {"reel-0": position}, log.bounds()).others == {"reel-0"}


def test_an_event_where_nothing_was_is_another_log() -> None:
    """Markers of a transaction stood there: the log was put back to before them."""
    log, reel = tape(b"a", b"b", b"hole", b"d")
    event = reel.events.pop(2)
    position = position_at(log, 3)
    assert position.last_event.startswith("1:1:")
    assert read(log, position, 4) == [b"d"]
    reel.events[2] = event
    with pytest.raises(LogTruncated, match="wound back"):
        read(log, position, 4)


def test_what_is_compacted_or_expired_cannot_be_compared_and_the_log_goes_on() -> None:
    log, reel = tape(b"a", b"b", b"c")
    position = position_at(log, 2)
    del reel.events[1]
    assert read(log, position, 3) == [b"c"]
    assert recognise(log, {"reel-0": position}, log.bounds()).unknown == {"reel-0"}
    reel.begin = 2
    assert read(log, position, 3) == [b"c"]
    assert recognise(log, {"reel-0": position}, log.bounds()).unknown == {"reel-0"}


@pytest.mark.parametrize("text", ["", "2:1:abc", "1:x:abc", "1", "1::"])
def test_nothing_and_what_another_release_wrote_compares_nothing(text: str) -> None:
    log, _ = tape(b"a", b"b", b"c")
    assert LastEvent.parse(text) is None
    position = Position(2, "first", last_event=text)
    assert read(log, position, 3) == [b"c"]
    assert recognise(log, {"reel-0": position}, log.bounds()).unknown == {"reel-0"}


def test_what_is_broken_already_is_not_read() -> None:
    """A window past a log's end would wait for events that do not come."""
    log, reel = tape(b"a", b"b", b"c")
    position = position_at(log, 3)
    reel.end = 2
    assert recognise(log, {"reel-0": position}, log.bounds()).others == set()


def test_the_text_holds_the_event_and_a_key_is_no_part_of_a_value() -> None:
    last = LastEvent.of(ROW)
    assert LastEvent.parse(str(last)) == last
    others = [{"event_key": b"kv", "value": b""}, {"event_key": None}, {"value": None}, {"event_time": None}]
    assert len({LastEvent.of(ROW | change).checksum for change in ({}, *others)}) == 5


def test_last_events_are_of_each_partition() -> None:
    rows = [ROW | {"source_partition": name, "position": at} for name, at in [("p", 1), ("q", 7), ("p", 3)]]
    found = last_events(pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA))
    assert {name: last.position for name, last in found.items()} == {"p": 3, "q": 7}
    assert last_events(SOURCE_SCHEMA.empty_table()) == {}


class Diverging(TapeLog):
    """A log that has proofs of its own, and knows where it became another one."""

    def __init__(self, at: int, *, keeps: bool) -> None:
        super().__init__("songs", TapeSource(tape="reel"), Deck())
        self.keeps_until_confirmed, self._at = keeps, at

    def diverged(self, proofs: dict[str, str]) -> dict[str, int]:
        return {name: self._at for name, proof in proofs.items() if proof == "proof"}


@pytest.mark.parametrize(
    ("at", "keeps", "broken"),
    [(4, False, Break.PUT_BACK), (5, False, None), (9, False, None), (5, True, Break.PUT_BACK)],
    ids=str,
)
def test_what_a_broker_lost_unread_is_its_own_affair_and_a_spools_is_not(
    at: int, keeps: bool, broken: Break | None
) -> None:
    position = Position(5, known_end=10, end_proof="proof")
    log, bounds = Diverging(at, keeps=keeps), {"reel-0": Bounds(0, 12)}
    assert find_breaks(log, {"reel-0": position}, bounds).get("reel-0") is broken
    assert not find_breaks(log, {"reel-0": replace(position, end_proof="")}, bounds)


def test_a_spool_does_not_end_before_an_end_that_it_had() -> None:
    position, bounds = Position(5, known_end=10), Bounds(0, 7)
    assert find_break(position, bounds) is None
    assert find_break(position, bounds, keeps_until_confirmed=True) is Break.ENDS_BEFORE
