"""A log and a listener that only the registry knows pass through the whole product."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import AssetKey

from ingestion.backup.backup import back_up, restore
from ingestion.clock import utc_now
from ingestion.collect.collector import Collector
from ingestion.collect.status import read_status
from ingestion.connectors.registry import collecting_connectors, kinds
from ingestion.declare.file import load_streams
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, LogTruncated
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.land.adoption import adopt
from ingestion.land.replay import replay
from ingestion.log.port import Window
from ingestion.settings import Settings
from ingestion.upkeep.files import trim_spool
from ingestion.watch.lag import LagMeter
from ingestion.watch.recount import verify
from orchestration.assets.raw import raw_asset, source_specs
from orchestration.cli.examine_sources import brokers, sources
from orchestration.keys import source_key
from tests.fakes.pigeon import PIGEON, House
from tests.fakes.registered import fakes
from tests.fakes.tape import Deck, Reel
from tests.ingestion.collecting import wait_until
from tests.ingestion.helpers import ingest, positions_of

with fakes():
    TAPED = Stream.model_validate({"name": "songs", "source": {"tape": "reel"}})
    FLOWN = Stream.model_validate({"name": "letters", "source": {"pigeon": "north"}})


def test_streams_yml_takes_them_and_names_their_keys(tmp_path: Path) -> None:
    file = tmp_path / "streams.yml"
    file.write_text("songs: {source: {tape: reel}}\nletters: {source: {pigeon: north}}\n")
    assert load_streams(file) == (TAPED, FLOWN)
    file.write_text("songs:\n  source: {tape: reel, sped: 2}\n")
    with pytest.raises(ConfigError, match=r"line 2, stream 'songs': unknown key 'sped'"):
        load_streams(file)
    file.write_text("songs: {source: {record: reel}}\n")
    with pytest.raises(ConfigError, match=f"source names one of .*{kinds()[-1]}"):
        load_streams(file)


def test_a_log_of_a_new_kind_lands_and_is_watched(
    lake: Lake, at: Settings, deck: Deck, tmp_path: Path
) -> None:
    lake.settings = at
    deck.reels["reel"].record(b'{"n": 1}', None, b"{", b'{"n": 2}')
    meter = LagMeter(at, lake, timeout_seconds=1, clock=utc_now)
    lake.prepare([TAPED.name])
    assert meter.measure([TAPED])[0].events == 4
    report = ingest(lake, TAPED, at)
    assert (report.events_landed, report.events_rejected) == (3, 1)
    assert deck.confirmed == {"reel-0": 4}
    assert meter.measure([TAPED])[0].events == 0
    log = open_log(TAPED, at)
    assert verify(lake, TAPED, log=log).verdict == "ok"
    assert [finding.state for finding in (*sources(at, [TAPED]), *brokers(at, [TAPED]))] == ["ok", "ok"]
    backup = back_up(at, tmp_path / "backups", now=datetime.now(UTC))
    assert backup.manifest.tables
    deck.down = True
    assert "the tape deck is off" in meter.measure([TAPED])[0].error
    deck.down = False
    deck.reels["reel"] = Reel(log_id="second", begin=0, end=9)
    with pytest.raises(LogTruncated, match="songs': reel-0 was recorded over"):
        ingest(lake, TAPED, at)
    with pytest.raises(LogTruncated, match="songs': reel-0 was deleted and made again"):
        replay(lake, TAPED.name, log=open_log(TAPED, at), decode=decoder("json"))
    assert any("recorded over" in finding.message for finding in sources(at, [TAPED]))
    with pytest.raises(ConfigError, match="is read from tape: only a collected stream has a spool"):
        adopt(lake, TAPED)
    meter.close()


def test_a_log_of_a_new_kind_is_recognised_without_its_doing(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    reel = deck.reels["reel"]
    reel.record(b'{"n": 1}', b'{"n": 2}')
    ingest(lake, TAPED, at)
    ours = reel.events.pop(1)
    note, ok = sources(at, [TAPED])
    assert (note.state, ok.state) == ("note", "ok")
    assert "reel-0 may have been put back to an earlier state and written on" in note.message
    reel.events[1] = ours | {"value": b'{"n": 3}'}
    assert "wound back before our position 2" in next(sources(at, [TAPED])).message
    assert "wound back" in verify(lake, TAPED, log=open_log(TAPED, at)).partitions[0].findings[0]
    with pytest.raises(LogTruncated, match="songs': reel-0 was wound back"):
        replay(lake, TAPED.name, log=open_log(TAPED, at), decode=decoder("json"))
    reel.record(b'{"n": 4}')
    with pytest.raises(LogTruncated, match="songs': reel-0 was wound back"):
        ingest(lake, TAPED, at)
    reel.events[1] = ours
    assert ingest(lake, TAPED, at).events_landed == 1
    assert verify(lake, TAPED, log=open_log(TAPED, at)).verdict == "ok"


def test_it_is_an_asset_of_its_own_kind() -> None:
    (spec,) = source_specs([TAPED])
    assert spec.key == source_key(TAPED) == AssetKey(["tape", "songs"])
    assert spec.description == "`Tape reel`"
    assert spec.kinds == {"tape"}
    assert "Events of `Tape reel` as they came." in str(
        raw_asset(TAPED).descriptions_by_key[AssetKey(["raw", "songs"])]
    )


def test_a_listener_of_a_new_kind_is_collected_and_lands(
    lake: Lake, at: Settings, house: House, tmp_path: Path
) -> None:
    lake.settings = at
    collector = Collector(at, [TAPED, FLOWN], connector=PIGEON)
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    house.send("north", *(b'{"n": %d}' % number for number in range(50)))
    house.send("south", b'{"n": "for nobody"}')
    thread.start()
    try:
        wait_until(lambda: len(house.acknowledged) == 51)
    finally:
        stop.set()
        thread.join(60)
    assert not house.letters
    status = read_status(at.data_dir, PIGEON)
    assert (status["messages"], status["unrouted"], status["positions"]) == (51, 1, {"letters": 50})
    assert PIGEON in collecting_connectors()
    assert ingest(lake, FLOWN, at).events_landed == 50
    assert positions_of(lake, "letters") == [("letters-0", position) for position in range(50)]
    assert trim_spool(lake, FLOWN) == 0  # the newest segment stays
    log = open_log(FLOWN, at)
    assert verify(lake, FLOWN, log=log).verdict == "ok"
    log.close()
    found = [*sources(at, [FLOWN]), *brokers(at, [FLOWN])]
    (problem,) = (finding.message for finding in found if finding.state != "ok")
    assert "keeps 1 messages that no stream takes" in problem
    assert back_up(at, tmp_path / "backups", now=datetime.now(UTC)).manifest.identities == {
        "pigeon": f"ring of {tmp_path}"
    }


def test_a_house_is_safe_for_a_sender_and_a_listener_at_once() -> None:
    house = House()
    sender = threading.Thread(target=lambda: [house.send("north", b"%d" % number) for number in range(5_000)])
    sender.start()
    while len(house.acknowledged) < 5_000:
        house.acknowledge([number for number, _, _ in house.letters])
    sender.join()
    assert (house.acknowledged, house.letters) == (list(range(1, 5_001)), [])


def test_what_was_not_acknowledged_comes_again_once(at: Settings, house: House) -> None:
    collector = Collector(at, [FLOWN], connector=PIGEON)
    house.send("north", b"1", b"2")
    collector.listener.pump(0.01, more=lambda lane: True)
    collector.listener.lose_contact()  # type: ignore[attr-defined]
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    wait_until(lambda: len(house.acknowledged) == 2)
    stop.set()
    thread.join(60)
    log = open_log(FLOWN, at)
    (chunk,) = log.read({name: Window(found.begin, found.end) for name, found in log.bounds().items()})
    log.close()
    assert chunk.events["value"].to_pylist() == [b"1", b"2"]


def test_a_restored_system_takes_the_collectors_name_over_where_it_is_asked_to(
    lake: Lake, at: Settings, house: House, tmp_path: Path, new_database: object
) -> None:
    lake.settings = at
    lake.prepare([FLOWN.name])
    Collector(at, [FLOWN], connector=PIGEON).listener.close()
    back_up(at, tmp_path / "backups", now=datetime.now(UTC))
    for session, identity in ((False, ""), (True, f"ring of {tmp_path}")):
        folder = tmp_path / f"there-{session}"
        there = at.replaced(data_dir=folder, catalog=_secret(new_database))
        restore(there, tmp_path / "backups", session=session)
        assert PIGEON.identity(folder / PIGEON.collector) == identity


def _secret(new_database: object) -> object:
    from pydantic import SecretStr

    return SecretStr(new_database())  # type: ignore[operator]
