"""Which partitions a stream reads on, retires, or stops at: no broker is needed to know."""

from ingestion.connectors.kafka.declare import KafkaSource
from ingestion.log.port import Bounds
from ingestion.log.positions import GIVEN, GONE, LOST, UNDECLARED, Position
from ingestion.log.standing import stand

SOURCE = KafkaSource(kafka=("a", "b"))


def standing(
    position: Position, *, name: str = "b-0", is_there: bool = False, is_kept: bool = False
) -> object:
    bounds = dict.fromkeys(["a-0", name] if is_there else ["a-0"], Bounds(0, 9))
    found = stand({"a-0": Position(3), name: position}, bounds, covers=SOURCE.covers, is_kept=is_kept)
    assert "a-0" in found.read  # whatever becomes of the other
    return name in found.read or found.retire.get(name) or found.stopped.get(name)


def test_a_partition_that_is_gone_is_retired_or_stops_with_what_was_unread() -> None:
    assert standing(Position(7, "x", known_end=7)) == GONE
    assert standing(Position(7, "x", known_end=12)) == 5
    assert standing(Position(7, "x", known_end=12), name="c-0") == UNDECLARED
    assert standing(Position(7, "x", known_end=12), name="b-c-0") == UNDECLARED


def test_a_retired_partition_is_left_alone_until_it_is_there_again() -> None:
    for reason in (GONE, LOST, UNDECLARED, GIVEN):
        assert standing(Position(7, "x", reason, 12)) is None
        assert standing(Position(7, "x", reason, 12), is_there=True) is True


def test_a_spool_that_is_gone_is_a_loss_whatever_was_read() -> None:
    assert standing(Position(7, "x", known_end=7), is_kept=True) is True
    assert standing(Position(0, "x", GIVEN), is_kept=True) is None


def test_the_sentence_has_the_number_and_the_way_out() -> None:
    positions = {"b-0": Position(7, "x", known_end=12)}
    (sentence,) = stand(positions, {}, covers=SOURCE.covers, is_kept=False).sentences("s", positions)
    assert "b-0 is gone at the broker with 5 unread positions (7 to 12)" in sentence
    assert "'millrace adopt s'" in sentence
