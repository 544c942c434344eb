"""What the page and serving remember of a mart's reach is what the ledger says."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion.lake.lake import Lake
from ingestion.serve.moments import Moments
from ingestion.settings import load_settings

_COLUMNS = (
    "stream, batch_id, source_partition, start_position, end_position, log_end_position, last_event_time, "
    "started_at"
)


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Lake]:
    with Lake(load_settings(data_dir=tmp_path_factory.mktemp("lake"), catalog=new_database())) as lake:
        lake.prepare([])
        yield lake


def land(lake: Lake, stream: str, batch: int, *, partition: str = "p", end: int = 9, hour: int = 8) -> None:
    """A row of the ledger: an event at that hour, read half an hour later, up to position 9 of 9."""
    lake.connection.execute(
        f"insert into raw.batches ({_COLUMNS}) values ('{stream}', {batch}, '{partition}', 0, {end}, 9, "
        f"'2026-01-01 {hour:02}:00:00+00', '2026-01-01 {hour:02}:30:00+00')"
    )


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, 1, hour, minute, tzinfo=UTC)


def test_several_pairs_are_asked_together_and_each_has_its_own_answer(lake: Lake) -> None:
    land(lake, "a", 1, hour=6)
    land(lake, "a", 2, hour=7, end=5)
    land(lake, "a", 3, partition="q", hour=9)
    land(lake, "b", 1, hour=8)
    found = Moments().of(lake, [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 4)], version=lake.snapshot_id())
    assert found == {
        ("a", 1): (at(6), at(6, 30)),
        ("a", 2): (at(7), at(7)),  # four of its events are still at the broker
        ("a", 3): (at(9), at(7)),
        ("b", 1): (at(8), at(8, 30)),
        ("c", 4): (None, None),
    }


def test_what_is_known_is_not_asked_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    land(lake, "a", 1, hour=6)
    known = Moments()
    known.of(lake, [("a", 1)], version=lake.snapshot_id())
    land(lake, "a", 2, hour=7)
    version, query, asked = lake.snapshot_id(), lake.query, list[str]()

    def counted(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return query(sql, parameters)

    monkeypatch.setattr(lake, "query", counted)
    assert known.of(lake, [("a", 1)], version=version) == {("a", 1): (at(6), at(6, 30))}
    assert not asked
    assert known.of(lake, [("a", 1), ("a", 2)], version=version)["a", 2] == (at(7), at(7, 30))
    assert len(asked) == 1


def test_a_batch_that_this_version_lacks_is_asked_about_again(lake: Lake) -> None:
    land(lake, "a", 1, hour=6)
    before, known = lake.snapshot_id(), Moments()
    land(lake, "a", 2, hour=7)
    assert known.of(lake, [("a", 2)], version=before) == {("a", 2): (at(6), at(6, 30))}
    assert known.of(lake, [("a", 2)], version=lake.snapshot_id()) == {("a", 2): (at(7), at(7, 30))}


def test_nothing_has_landed_yet(lake: Lake) -> None:
    assert Moments().of(lake, [("a", 1)], version=lake.snapshot_id()) == {("a", 1): (None, None)}
    assert Moments().of(lake, [], version=lake.snapshot_id()) == {}
