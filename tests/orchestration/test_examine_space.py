"""When a disk will be full, as `doctor` foresees it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from ingestion.settings import Settings, load_settings
from ingestion.upkeep.space import Sample, note_space, read_samples, seconds_until_full
from orchestration.cli.examine_durability import space

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
GIB = 2**30
HOUR = 3_600.0


class Usage(NamedTuple):
    """What shutil.disk_usage gives."""

    total: int
    used: int
    free: int


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(data_dir=tmp_path / "data")
    Path(settings.resolved_lake_path).mkdir(parents=True)
    return settings


@pytest.mark.parametrize(
    ("gib_an_hour", "state", "sentence"),
    [
        (1.0, "problem", "has 10.0 GiB left, and at the pace of the last day it is full in 10 h: make room"),
        (0.05, "note", "it is full in 8.33 days: make room"),
        (0.01, "ok", "it is full in 41.7 days"),
        (0.0, "ok", "for years at the pace of the last day"),
        (-1.0, "ok", "for years at the pace of the last day"),
    ],
)
def test_a_disk_that_fills_is_foreseen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, gib_an_hour: float, state: str, sentence: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(0, 0, 10 * GIB))
    for hours in range(20, 0, -1):
        free = int((10 + gib_an_hour * hours) * GIB)
        note_space(settings, Sample(NOW.timestamp() - hours * HOUR, {str(settings.data_dir): free}))
    (found,) = space(settings, now=NOW)
    assert (found.state, sentence in found.message) == (state, True), found.message


def test_the_pace_is_known_after_an_hour(settings: Settings) -> None:
    (found,) = space(settings, now=NOW)
    assert (found.state, found.message.endswith("is known after an hour of upkeep")) == ("ok", True)


def test_what_upkeep_deletes_in_between_is_part_of_the_pace() -> None:
    saw = [
        Sample(quarter * 900.0, {"/": 1_000_000 - quarter * 10 + 900 * (quarter // 90)})
        for quarter in range(96)
    ]
    seconds = seconds_until_full(saw, "/")
    assert seconds is not None
    assert seconds > 900 * 1_000_000 / 10, "slower than between two deletions"
    assert seconds_until_full([*saw, Sample(0.0, {"/": 1})], "/") is None, "the clock went back"


def test_as_many_samples_are_kept_as_are_needed_and_a_damaged_file_is_begun_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.upkeep.space._KEPT", 2)
    for number in range(3):
        note_space(settings, Sample(float(number), {"/": 1}))
    assert [each.at for each in read_samples(settings)] == [1.0, 2.0]
    (settings.data_dir / "upkeep" / "space.json").write_text("[{")
    assert read_samples(settings) == []
