"""A stream is silent for longer than usual: known from its own history, and from nothing else."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ingestion.lake.lake import Lake
from ingestion.watch.silence import usual_silence
from orchestration.conditions.silence import note_heard, silence_findings
from tests.dbt_project.raw import START, Event, RawWriter

NONE = frozenset[str]()
HOUR = timedelta(hours=1)


@pytest.fixture
def raw(lake: Lake) -> RawWriter:
    """A lake that has the stream."""
    lake.prepare(["readings"])
    return RawWriter(lake)


def days(raw: RawWriter, count: int, *, first: int = 0) -> datetime:
    """A stream that brings something each two hours from 8 to 24; returns the last moment."""
    moments = [
        START + timedelta(days=day, hours=hour)
        for day in range(first, first + count)
        for hour in range(0, 17, 2)
    ]
    for at in moments:
        raw.add("readings", [Event("{}", at, ingested_at=at)])
    return moments[-1]


def silent(data_dir: Path, now: datetime, *, troubled: frozenset[str] = NONE) -> list[str]:
    return [each.sentence for each in silence_findings(data_dir, {"readings"}, troubled=troubled, now=now)]


def test_a_week_teaches_that_nights_are_silent(raw: RawWriter, lake: Lake) -> None:
    last = days(raw, 6)
    assert usual_silence(lake, "readings", now=last) is None, "six days are no week"
    last = days(raw, 2, first=6)
    usual = usual_silence(lake, "readings", now=last)
    assert usual is not None
    assert timedelta(hours=11.9) < usual <= timedelta(hours=12), "half as much again as a night of 8 hours"

    last = days(raw, 2, first=12)
    assert usual_silence(lake, "readings", now=last) == usual, "one outage of four days is not usual"
    last = days(raw, 1, first=16)
    learnt = usual_silence(lake, "readings", now=last)
    assert learnt is not None
    assert learnt > timedelta(days=2), "two are"
    assert usual_silence(lake, "readings", now=last + timedelta(days=60)) is None, "it is long ago"


def test_what_waited_while_nothing_ran_was_not_silent(raw: RawWriter, lake: Lake) -> None:
    """Ten days in minutes; for one of them, and again, the events were read in the evening."""
    for minute in range(0, 10 * 24 * 60, 60):
        at = START + timedelta(minutes=minute)
        if at.day not in (4, 6):
            raw.add("readings", [Event("{}", at, ingested_at=at)])
        elif at.hour == 23:
            hours = [at - timedelta(hours=hour) for hour in range(24)]
            raw.add("readings", [Event("{}", each, ingested_at=at) for each in hours])
    usual = usual_silence(lake, "readings", now=at)
    assert usual is not None
    assert usual < 3 * HOUR


def test_silence_is_a_condition_until_something_comes(raw: RawWriter, lake: Lake) -> None:
    folder, last = lake.settings.data_dir, days(raw, 8)
    note_heard(lake, "readings", now=last)
    assert silent(folder, last + 11 * HOUR) == []
    late = last + 13 * HOUR
    assert silent(folder, late) == [
        "stream 'readings' has brought nothing since 2026-03-09 00:00 UTC: "
        "it is usually silent for at most 12 h"
    ]
    assert silent(folder, late, troubled=frozenset({"readings"})) == [], "why is said elsewhere"
    note_heard(lake, "readings", now=late)
    assert silent(folder, late + HOUR) == []


def test_a_stream_without_history_is_never_silent(raw: RawWriter, lake: Lake) -> None:
    folder, last = lake.settings.data_dir, days(raw, 2)
    assert silent(folder, last) == []
    note_heard(lake, "readings", now=last)
    assert silent(folder, last + 1000 * HOUR) == []
    (folder / "conditions" / "heard" / "readings.json").write_text("{")
    assert silent(folder, last + 1000 * HOUR) == []
