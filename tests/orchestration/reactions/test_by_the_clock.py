"""Conditions that need minutes or a week: made in a real lake whose clock is an argument, heard of once."""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.errors import StreamBusy
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.watch.lag import LagMeter
from orchestration.conditions.silence import note_heard, silence_findings
from orchestration.sensors.standstill import STALLED_SECONDS, Standstill
from tests.dbt_project.raw import Event, RawWriter
from tests.ingestion.helpers import ingest
from tests.orchestration.reactions.desk import EVENTS, Desk
from tests.servers.receiver import REFUSE, RESET, Receiver
from tests.waiting import eventually

READINGS = Stream.model_validate({"name": "readings", "source": {"mqtt": "home/+"}})
NONE = frozenset[str]()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that refuses at first, and then takes and hangs up: what is sent again has the key that it had."""
    with Receiver([REFUSE, RESET]) as receiver:
        yield receiver


@pytest.fixture
def desk(tmp_path: Path, receiver: Receiver) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    with Desk(tmp_path / "desk", receiver.url).sending() as desk:
        yield desk


def require_once(desk: Desk, receiver: Receiver, kind: str, *events: str) -> None:
    """The receiver took these of the kind, each once, in order, as the ledger says."""
    eventually(lambda: len(desk.entries("delivered")) == len(events), f"{events} were delivered")
    taken = receiver.alerts()
    assert [(each["name"], each["event"]) for each in taken] == [(kind, event) for event in events]
    assert [each.notice.key for each in desk.entries("delivered")] == [each["key"] for each in taken]


def test_a_stream_whose_batches_never_begin_is_stalled_until_they_do(
    lake: Lake, desk: Desk, receiver: Receiver
) -> None:
    """Whoever hangs holds the stream's lock: no batch fails, and none brings anything."""
    settings, standstill, now = lake.settings, Standstill(), utc_now()
    lake.prepare([READINGS.name])
    with closing(SpoolWriter(settings.data_dir / "spool" / READINGS.name)) as writer:
        writer.append([SpoolEvent(b"home/1", b"{}", None, int(time.time() * 1e6))])
        writer.commit()
    meter = LagMeter(settings, lake, timeout_seconds=5.0, clock=utc_now)

    def look(seconds: float) -> None:
        found = standstill.look(meter.measure([READINGS]), paused=NONE, now_s=seconds)
        desk.note([*found], now=now + timedelta(seconds=seconds))

    with closing(meter):
        with writer_lock(settings, READINGS.name, application_name="one that hangs"):
            look(0)
            with pytest.raises(StreamBusy):
                ingest(lake, READINGS, settings)
            look(STALLED_SECONDS)
            assert desk.noted() == [], "not yet"
            look(STALLED_SECONDS + 1)
            require_once(desk, receiver, "stream_stalled", EVENTS[0])
            look(STALLED_SECONDS + 60)
        assert ingest(lake, READINGS, settings).events_landed == 1
        look(STALLED_SECONDS + 61)
        require_once(desk, receiver, "stream_stalled", *EVENTS)


def test_a_stream_that_falls_silent_is_named_until_it_brings_something(
    lake: Lake, desk: Desk, receiver: Receiver
) -> None:
    """Nine days with an event every three hours, and then none."""
    every, raw = timedelta(hours=3), RawWriter(lake)
    lake.prepare([READINGS.name])

    def bring(at: datetime) -> datetime:
        raw.add(READINGS.name, [Event("{}", at, ingested_at=at)])
        return at

    def look(now: datetime) -> None:
        found = silence_findings(lake.settings.data_dir, {READINGS.name}, troubled=NONE, now=now)
        desk.note([*found], now=now)

    late = utc_now()  # what is noted long ago is old to a reaction
    last = late - 1.5 * every
    for ago in reversed(range(9 * 8)):
        bring(last - ago * every)
    note_heard(lake, READINGS.name, now=last)
    look(late)
    assert desk.noted() == [], "three hours, and half as much again, are usual"
    look(late + timedelta(seconds=1))
    require_once(desk, receiver, "stream_silent", EVENTS[0])
    look(late + timedelta(seconds=2))
    note_heard(lake, READINGS.name, now=bring(late + timedelta(seconds=3)))
    look(late + timedelta(seconds=4))
    require_once(desk, receiver, "stream_silent", *EVENTS)
