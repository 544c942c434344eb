"""Whatever a connector raises is its stream's: planted at each method of the ports, seen in every room."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingestion.clock import utc_now
from ingestion.collect import guard
from ingestion.collect.collector import Collector
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import LogTruncated, MillraceError, SourceUnavailable
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.watch import away
from ingestion.watch.lag import LagMeter
from ingestion.watch.recount import verify
from orchestration.cli.examine_sources import brokers, sources
from tests.fakes.pigeon import PIGEON, House, PigeonConnector, PigeonListener
from tests.fakes.registered import fakes
from tests.fakes.tape import Deck, Reel, TapeConnector, TapeLog
from tests.ingestion.helpers import ingest
from tests.waiting import eventually

PASSWORD = "pa55word"
with fakes():
    BROKEN = Stream.model_validate({"name": "broken", "source": {"tape": "bad"}})
    SOUND = Stream.model_validate({"name": "sound", "source": {"tape": "good"}})
    FLOWN = Stream.model_validate({"name": "letters", "source": {"pigeon": "north"}})


class Defect(Exception):
    """What no room knows."""


@contextmanager
def planted(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, *, of: str = "") -> Iterator[None]:
    """A method raises what nobody expects, with a login in its text; in logs only those of one reel."""
    real = getattr(owner, method)

    def raises(self: Any, *args: Any, **kwargs: Any) -> Any:
        if of and getattr(getattr(self, "_spec", args[1] if len(args) > 1 else None), "tape", "") != of:
            return real(self, *args, **kwargs)
        raise Defect(f"no idea about tape://me:{PASSWORD}@deck")

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, raises)
        yield


@pytest.mark.parametrize("method", ["open_log", "bounds", "start_positions", "read"])
def test_no_stream_stands_because_of_another_ones_source(
    lake: Lake, at: Settings, deck: Deck, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    lake.settings = at
    for reel in ("bad", "good"):
        deck.reels[reel].record(b"1", b"2")
    lake.prepare([BROKEN.name, SOUND.name])
    owner = TapeConnector if method == "open_log" else TapeLog
    monkeypatch.setattr(away, "_REST_SECONDS", (0.0, 0.0))
    meter = LagMeter(at, lake, timeout_seconds=1, clock=utc_now, ages=True)
    with planted(monkeypatch, owner, method, of="bad"):
        broken, sound = meter.measure([BROKEN, SOUND])
        assert sound.events == 2
        assert not sound.error
        assert "'tape' failed unexpectedly (Defect: no idea about tape://***@deck)" in broken.error or (
            method in ("read", "start_positions") and not broken.error
        )
        with pytest.raises(SourceUnavailable, match="stream 'broken': the connector 'tape' failed unexpec"):
            ingest(lake, BROKEN, at)
        assert ingest(lake, SOUND, at).events_landed == 2
        found = list(sources(at, [BROKEN, SOUND]))
        assert any("stream 'sound': 1 partition(s)" in each.message for each in found)
        assert PASSWORD not in str(found) + broken.error
        assert verify(lake, SOUND, log=open_log(SOUND, at)).verdict == "ok"
    assert meter.measure([BROKEN, SOUND])[0].events == 2, "it goes on by itself"
    assert ingest(lake, BROKEN, at).events_landed == 2
    meter.close()


def test_the_rest_of_the_port_fails_for_its_stream_too(
    lake: Lake, at: Settings, deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.settings = at
    deck.reels["bad"].record(b"1", b"2")
    lake.prepare([BROKEN.name])
    monkeypatch.setattr(away, "_REST_SECONDS", (0.0, 0.0))
    with planted(monkeypatch, TapeLog, "confirm"), planted(monkeypatch, TapeLog, "close"):
        assert ingest(lake, BROKEN, at).events_landed == 2, "it is in the lake whatever the broker says"
    meter = LagMeter(at, lake, timeout_seconds=1, clock=utc_now, ages=True)
    assert not meter.measure([BROKEN])[0].error
    with planted(monkeypatch, TapeLog, "has_moved"):
        assert "failed unexpectedly" in meter.measure([BROKEN])[0].error
    deck.reels["bad"].record(b"3")
    with planted(monkeypatch, TapeLog, "first_times"):
        assert "failed unexpectedly" in meter.measure([BROKEN])[0].error
    meter.close()
    deck.reels["bad"] = Reel(log_id="second", begin=0, end=9)
    with planted(monkeypatch, TapeLog, "explain"), pytest.raises(SourceUnavailable):
        ingest(lake, BROKEN, at)
    with pytest.raises(LogTruncated):
        ingest(lake, BROKEN, at)
    with planted(monkeypatch, TapeConnector, "examine"):
        (found,) = brokers(at, [BROKEN])
    assert (found.state, PASSWORD in found.message) == ("problem", False)


@pytest.mark.parametrize("method", ["pump", "acknowledge", "status"])
def test_a_listener_that_fails_unexpectedly_is_opened_again_and_no_letter_is_lost(
    lake: Lake, at: Settings, house: House, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    lake.settings = at
    monkeypatch.setattr(guard, "_REST_SECONDS", (0.01, 0.05))
    collector = Collector(at, [FLOWN], connector=PIGEON)
    house.send("north", b"1", b"2")
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    with planted(monkeypatch, PigeonListener, method):
        thread.start()
        eventually(lambda: "failed unexpectedly" in collector.status()["error"], "it says so")
        with planted(monkeypatch, PigeonConnector, "open_listener"):
            eventually(lambda: "'pigeon' failed" in collector.status()["error"], "it says so")
        assert thread.is_alive()
        assert PASSWORD not in str(collector.status())
    eventually(lambda: len(house.acknowledged) == 2, "both are acknowledged")
    stop.set()
    thread.join()
    assert collector.status()["error"] == ""
    lake.prepare([FLOWN.name])
    ingest(lake, FLOWN, at)
    assert lake.query(f"select count(distinct payload) from raw.{FLOWN.name}") == [(2,)]


def test_a_known_error_stays_as_it_is(at: Settings, deck: Deck, tmp_path: Path) -> None:
    deck.down = True
    with pytest.raises(MillraceError, match="switch it on"):
        open_log(SOUND, at).bounds()
