"""Hours of a stream are noted once, and the last one is judged by those before it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import AssetCheckResult, AssetKey

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.tables import PROFILES
from ingestion.settings import load_settings
from ingestion.watch.profiles import hours_of, note_hours
from orchestration.checks.anomalies import DELAY_CHECK, VALUES_CHECK, VOLUME_CHECK, check_hour
from orchestration.keys import WARNING

MODEL = AssetKey(["staging", "stg_s"])
STREAM = Stream.model_validate(
    {
        "name": "s",
        "source": {"kafka": "s"},
        "fields": {"device": "varchar", "note": "varchar", "level": "double", "id": "bigint"},
    }
)
FIRST = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 3, 12, 15, 7, tzinfo=UTC)
LAST = NOW.replace(hour=14, minute=0)
_PLANTED = """
create temp table planted as
select
    hour + to_seconds(number * 3600 / events) as event_time, seconds, number, devices,
    row_number() over () as id, number < empty as is_empty
from (
    select *, unnest(range(events::bigint)) as number
    from (
        select hour, 120 as events, 12 as devices, 2.0 as seconds, 6 as empty
        from (select unnest(generate_series($first::timestamptz, $odd::timestamptz, interval 1 hour)) as hour)
        where hour < $odd::timestamptz
        union all
        select $odd::timestamptz, $events, $devices, $seconds, $empty
    )
)
"""
_RAW = """
insert into lake.raw.s
    (batch_id, source_partition, position, event_id, payload, event_time, ingested_at, _dlt_load_id)
select 1, 's-0', id, 's-0@' || id, '{}', event_time, event_time + to_seconds(seconds), 'x' from planted
"""
_LEDGER = """
insert into lake.raw.batches (stream, batch_id, events_read, first_event_time, ingested_at)
select 's', 1, count(*), min(event_time), max(event_time) from planted
"""
_STAGED = """
create table lake.staging.stg_s as
select
    'd' || (number % devices) as device, if(is_empty, null, 'n') as note, random() as level, id,
    event_time + to_seconds(seconds) as ingested_at
from planted
"""


@pytest.fixture
def lake(tmp_path: Path, new_database: Callable[[], str]) -> Iterator[Lake]:
    with Lake(load_settings(data_dir=tmp_path, catalog=new_database())) as lake:
        lake.prepare(["s"])
        lake.query("create schema lake.staging")
        yield lake


def plant(lake: Lake, *, first: datetime = FIRST, **odd: float) -> None:
    """Ten days of 120 events an hour, and an odd last hour."""
    usual = {"events": 120, "devices": 12, "seconds": 2.0, "empty": 6}
    times = {"first": first.isoformat(), "odd": LAST.isoformat()}
    lake.connection.execute(_PLANTED, usual | odd | times)
    for statement in (_RAW, _LEDGER, _STAGED):
        lake.connection.execute(statement)


def judged(lake: Lake, *, now: datetime = NOW) -> Mapping[str, AssetCheckResult]:
    return {str(result.check_name): result for result in check_hour(lake, STREAM, MODEL, now=now)}


def test_a_usual_hour_passes_and_says_what_is_usual(lake: Lake) -> None:
    plant(lake)
    for result in judged(lake).values():
        assert result.passed, result.description
        assert result.metadata["hour"].value == "2026-03-12 14:00 UTC"
    assert judged(lake)[VOLUME_CHECK].metadata["threshold"].value.startswith("65.")


@pytest.mark.parametrize(
    ("odd", "check", "sentence"),
    [
        ({"events": 10, "empty": 0}, VOLUME_CHECK, "10 events from 14:00 to 15:00 UTC on 2026-03-12"),
        ({"events": 0, "empty": 0}, VOLUME_CHECK, "s brought 0 events"),
        ({"events": 1000}, VOLUME_CHECK, "15:00 UTC on 2026-03-12, too many: 65 to"),
        ({"seconds": 60.0}, DELAY_CHECK, "took more than 60.0 s from the broker to raw; up to"),
        ({"empty": 90}, VALUES_CHECK, "note is empty in 75.0 % of the events, where 0.0 to"),
        ({"devices": 2}, VALUES_CHECK, "device has about 2 different values, where"),
    ],
)  # fmt: skip
def test_an_odd_hour_warns_and_says_what_would_be_usual(
    lake: Lake, odd: dict[str, float], check: str, sentence: str
) -> None:
    plant(lake, **odd)
    results = judged(lake)
    assert [name for name, result in results.items() if not result.passed] == [check]
    text = results[check].description or ""
    assert text.startswith(WARNING)
    assert sentence in text
    assert "usual" in text
    assert "hours of its history" in text


def test_nothing_is_judged_while_the_history_is_shorter_than_a_week(lake: Lake) -> None:
    plant(lake, first=LAST - timedelta(days=5), events=0, empty=0)
    for result in judged(lake).values():
        assert result.passed
    assert judged(lake)[VOLUME_CHECK].metadata["threshold"].value == "not judged yet: 5 of 7 days of history"


def test_an_hour_is_noted_once_and_a_gap_is_filled_in(lake: Lake) -> None:
    plant(lake)
    note_hours(lake, STREAM, now=NOW - timedelta(hours=3))
    version = lake.snapshot_id()
    note_hours(lake, STREAM, now=NOW - timedelta(hours=3) + timedelta(minutes=20))
    assert lake.snapshot_id() == version
    note_hours(lake, STREAM, now=NOW)
    hours = hours_of(lake, "s")
    assert [hour.hour for hour in hours[""]] == [
        NOW.replace(minute=0) - timedelta(hours=number) for number in range(8 * 24 + 3, 0, -1)
    ]
    assert {(hour.events, hour.delay_seconds) for hour in hours[""]} == {(120, 2.0)}
    assert {(hour.events, hour.empty) for hour in hours["note"]} == {(120, 6)}
    assert {hour.different for hour in hours["level"]} == {None}
    assert {hour.different for hour in hours["device"]} <= {11, 12, 13}


def test_notes_end_after_five_weeks(lake: Lake) -> None:
    plant(lake)
    note_hours(lake, STREAM, now=NOW)
    note_hours(lake, STREAM, now=NOW + timedelta(days=34))
    ((oldest,),) = lake.query(f"select min(hour) from raw.{PROFILES}")
    assert oldest == NOW.replace(minute=0) + timedelta(days=34) - timedelta(days=35)


def test_a_stream_without_events_or_models_is_no_error(lake: Lake) -> None:
    results = judged(lake)
    assert all(result.passed for result in results.values())
    assert results[VOLUME_CHECK].metadata["hour"].value == "none yet"
