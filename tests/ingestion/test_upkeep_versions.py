"""Versions are thinned out: what DuckLake searches for each read does not grow with every cycle of a week."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from ingestion.lake.lake import Lake
from ingestion.upkeep.maintenance import Limits, maintain
from ingestion.upkeep.versions import read_versions, versions_to_expire
from tests.ingestion.test_maintenance import STREAM, contents, load

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def doomed(*versions: tuple[int, datetime], needed: tuple[int, ...] = ()) -> list[int]:
    return versions_to_expire(
        versions, now=NOW, keep_all=timedelta(minutes=30), keep_hourly=timedelta(days=7), needed=needed
    )


def test_all_that_are_new_stay_and_then_the_last_of_each_hour() -> None:
    old = [(1, ago(days=8)), (2, ago(days=7, hours=-3)), (3, ago(days=7, hours=-3, seconds=-1))]
    hours = [(4, ago(minutes=110)), (5, ago(minutes=65)), (6, ago(minutes=55)), (7, ago(minutes=31))]
    new = [(8, ago(minutes=29)), (9, ago(minutes=28)), (10, NOW)]
    # 8 and 9 are of the hour of 6 and 7, and younger than half an hour: they are its last.
    assert doomed(*old, *hours, *new) == [1, 2, 4, 6, 7]


def test_what_is_needed_stays_for_days_and_the_newest_for_ever() -> None:
    assert doomed((1, ago(days=9)), (2, ago(days=3)), (3, ago(days=3)), needed=(1, 2)) == [1]
    assert doomed((1, ago(days=9)), (2, ago(days=8))) == [1]
    assert doomed() == []


def test_what_a_consumer_has_not_read_stays_for_a_while() -> None:
    versions = [(number, ago(minutes=100 - number)) for number in range(1, 6)]

    def kept(unread: int | None, **bound: float) -> list[int]:
        gone = versions_to_expire(
            [*versions, (9, NOW)],
            now=NOW,
            keep_all=timedelta(minutes=30),
            keep_hourly=timedelta(0),
            unread=unread,
            keep_unread=timedelta(**bound),
        )
        return [number for number, _ in versions if number not in gone]

    assert kept(None) == []
    assert kept(3, hours=2) == [3, 4, 5]
    assert kept(9, hours=2) == []
    assert kept(1, minutes=97.5) == [3, 4, 5]


def test_versions_in_the_middle_go_and_the_others_are_read_as_before(lake: Lake) -> None:
    load(lake, 12)
    numbers = [number for number, _ in read_versions(lake)]
    needed = numbers[len(numbers) // 2]
    then, now = contents(lake, version=needed), contents(lake)
    hour = timedelta(hours=1)
    report = maintain(
        lake, [STREAM], now=datetime.now(UTC) + 2 * hour, limits=Limits(grace=hour), needed=[needed]
    )
    assert report.failed == ()
    kept = {number for number, _ in read_versions(lake)}
    assert needed in kept
    gone = [number for number in numbers if number not in kept]
    # Besides the needed one, the last of an hour may stay, or of two.
    assert len(gone) >= len(numbers) - 3
    assert report.snapshots_expired >= len(gone)
    assert contents(lake) == now
    assert contents(lake, version=needed) == then
    with pytest.raises(duckdb.Error, match=str(gone[-1])):
        contents(lake, version=gone[-1])
