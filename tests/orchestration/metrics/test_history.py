"""Metrics in the lake, minute by minute: each once, whatever was away, and no more than a week of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.upkeep.maintenance import maintain
from orchestration.metrics.exporter import Exporter
from orchestration.metrics.history import history
from orchestration.records.metric_samples import Sample, note_minute, noted_minutes
from orchestration.run.metric_history import KEPT_FOR, forget_minutes, take_minutes

NOW = datetime(2026, 11, 28, 1, tzinfo=UTC)
LAG = "millrace_stream_lag_events"


def note(data_dir: Path, at: datetime, value: float = 1.0) -> None:
    note_minute(data_dir, [Sample(LAG, {"stream": "orders"}, value)], at=at.timestamp())


def rows(lake: Lake) -> list[tuple[datetime, float]]:
    sql = (
        "select measured_at, value from ops.metrics where name = ? and labels['stream'] = 'orders' order by 1"
    )
    return lake.query(sql, [LAG])


@pytest.fixture
def data_dir(settings: Settings) -> Path:
    return settings.data_dir


def test_each_minute_is_there_once(lake: Lake, data_dir: Path) -> None:
    assert take_minutes(lake) == 0
    minutes = [NOW + timedelta(minutes=number) for number in range(3)]
    for number, at in enumerate(minutes):
        note(data_dir, at, float(number))
    before = list(noted_minutes(data_dir))
    assert take_minutes(lake) == 3
    assert take_minutes(lake) == 0
    assert list(noted_minutes(data_dir)) == [], "what is in the lake takes no room"
    for minute in before:  # a run was killed between its commit and the end
        note_minute(data_dir, minute.samples, at=minute.at)
    assert take_minutes(lake) == 0
    assert rows(lake) == [(at, float(number)) for number, at in enumerate(minutes)]


def test_a_week_is_kept_and_deleted_by_the_day(lake: Lake, data_dir: Path) -> None:
    ages = [timedelta(days=9), timedelta(days=8), timedelta(days=6), timedelta(0)]
    for age in ages:
        note(data_dir, NOW - age)
    assert forget_minutes(lake, before=NOW - KEPT_FOR) == 0, "there is no table yet"
    assert take_minutes(lake) == 4
    assert forget_minutes(lake, before=None) == 0, "the clock is not believed"
    assert forget_minutes(lake, before=NOW - KEPT_FOR) == 2
    assert forget_minutes(lake, before=NOW - KEPT_FOR) == 0
    assert [at for at, _ in rows(lake)] == [NOW - timedelta(days=6), NOW]
    assert forget_minutes(lake, before=NOW - timedelta(days=5, hours=12)) == 0, "not a day of it"


def test_upkeep_merges_what_was_taken_minute_by_minute(lake: Lake, data_dir: Path) -> None:
    lake.prepare([])
    for number in range(10):
        note(data_dir, NOW + timedelta(minutes=number), float(number))
        assert take_minutes(lake) == 1
    before = rows(lake)
    (merged,) = (each for each in maintain(lake, [], now=NOW).tables if str(each.table) == "ops.metrics")
    assert (merged.files_before, merged.files_after) == (10, 1)
    assert rows(lake) == before


def test_files_that_nobody_takes_are_given_up(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.records.metric_samples._MOST_FILES", 3)
    for number in range(5):
        note(data_dir, NOW + timedelta(minutes=number))
    assert [each.at for each in noted_minutes(data_dir)] == [
        (NOW + timedelta(minutes=number)).timestamp() for number in (2, 3, 4)
    ]


def test_a_torn_file_is_passed_over(lake: Lake, data_dir: Path) -> None:
    note(data_dir, NOW)
    (data_dir / "metrics" / "samples" / "1.json").write_text('{"at": 1, "sam')
    assert take_minutes(lake) == 1


def test_what_is_kept_of_a_scrape_is_small_and_says_what_is_wrong(settings: Settings, lake: Lake) -> None:
    lake.prepare([])
    kept = list(history(Exporter(settings, version="0").collect()))
    names = {each.name for each in kept}
    assert {"millrace_running", "millrace_part_answers", "millrace_disk_free_bytes"} <= names
    assert not names & {"millrace_open_conditions", "millrace_build_info"}
    assert not [each for each in kept if each.name.endswith("_bucket")]
    assert json.dumps([each.value for each in kept])
