"""A declared field that senders have stopped sending: the rule, and what a real lake knows of it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from ingestion.watch.missing import FEWEST_BATCHES, FEWEST_EVENTS, Missing, is_missed, missing_fields
from tests.dbt_project.raw import START, Event, RawWriter

FIELDS = {"id": "varchar", "temp": {"type": "double", "path": "values.temp"}, "note": "varchar"}
STREAM = Stream.model_validate({"name": "readings", "source": {"kafka": "readings"}, "fields": FIELDS})
USUAL = {"events_since": FEWEST_EVENTS, "batches_since": FEWEST_BATCHES, "events_before": FEWEST_EVENTS}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, True),
        ({"share": 0.5}, True),
        ({"share": 0.49}, False),  # an optional field may stay away
        ({"events_since": FEWEST_EVENTS - 1}, False),
        ({"batches_since": FEWEST_BATCHES - 1, "events_since": 10**6}, False),
        ({"events_before": FEWEST_EVENTS - 1}, False),
    ],
)
def test_a_field_is_missed_by_enough_events_that_mostly_had_it(
    counts: dict[str, float], expected: bool
) -> None:
    values: dict[str, Any] = USUAL | {"share": 1.0} | counts
    assert is_missed(**values) is expected


@pytest.fixture
def lake(tmp_path: Path, new_database: Callable[[], str]) -> Iterator[Lake]:
    with Lake(load_settings(data_dir=tmp_path / "data", catalog=new_database())) as lake:
        lake.prepare([STREAM.name])
        lake.connection.execute("create schema if not exists lake.staging")
        lake.connection.execute(
            "create table lake.staging.stg_readings (batch_id bigint, ingested_at timestamptz, "
            "cast_errors varchar[], id varchar, temp double, note varchar)"
        )
        yield lake


def land(raw: RawWriter, minute: int, *payloads: dict[str, Any]) -> None:
    """A batch of fifty events of these payloads in turn, and what staging makes of it."""
    at = START + timedelta(minutes=minute)
    events = [Event({"id": str(n)} | payloads[n % len(payloads)], at) for n in range(50)]
    batch = raw.add(STREAM.name, events)
    raw.lake.connection.execute(
        "insert into lake.staging.stg_readings select batch_id, ingested_at, [], payload->>'$.id', "
        "try_cast(payload->>'$.values.temp' as double), payload->>'$.note' "
        f"from lake.raw.readings where batch_id = {batch}"
    )


def test_a_renamed_key_is_missed_with_its_last_value_and_its_likely_name(lake: Lake) -> None:
    raw = RawWriter(lake)
    rare = {"values": {"temp": 1.5, "unit": "C"}, "note": "seen"}
    for minute in range(4):
        land(raw, minute, rare, {"values": {"temp": 1.5, "unit": "C"}}, {"values": {"temp": 2}})
    renamed = {"values": {"temperature": 1.5, "unit": "C"}, "temperature": 0}
    for minute in range(4, 6):
        land(raw, minute, renamed, {"values": {"temperature": 2, "extra": 1}})
        assert missing_fields(lake, STREAM) == ()  # not enough yet
    land(raw, 6, renamed)
    expected = Missing("temp", 150, 1.0, START + timedelta(minutes=3, seconds=1), "temperature")
    assert missing_fields(lake, STREAM) == (expected,)
    lake.connection.execute("call lake.merge_adjacent_files()")
    assert missing_fields(lake, STREAM) == (expected,)
    land(raw, 7, renamed, {"values": {"temp": 1}})
    assert missing_fields(lake, STREAM) == ()


def test_what_is_there_and_null_or_of_a_wrong_type_is_not_missed(lake: Lake) -> None:
    raw = RawWriter(lake)
    for minute in range(3):
        land(raw, minute, {"values": {"temp": 1.5}, "note": "a"})
    for minute in range(3, 7):
        land(raw, minute, {"values": {"temp": "hot"}, "note": None})
    assert missing_fields(lake, STREAM) == ()
