"""A format that only the registry knows: batch, retry and replay decode with it; so do reasons and bytes."""

import codecs
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingestion.declare.file import load_streams
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, FormatUnavailable
from ingestion.faultpoints import install_hook
from ingestion.formats.decode import decoder, reasons
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.land.redecode import redecode
from ingestion.land.replay import replay
from ingestion.land.resolutions import retry
from ingestion.settings import Settings
from orchestration.checks.raw_contracts import rejects_contract
from tests.fakes import rot13
from tests.fakes.registered import fakes
from tests.fakes.rot13 import Key
from tests.fakes.tape import Deck
from tests.ingestion.helpers import ingest

with fakes():
    STREAM = Stream.model_validate({"name": "secret", "source": {"tape": "reel"}, "format": "rot13"})
ROT = '{"rot": "13"}'


@pytest.fixture(autouse=True)
def _key() -> Iterator[None]:
    yield
    Key.there, Key.wrong = True, False
    install_hook(None)


def rotated(text: str) -> bytes:
    return codecs.encode(text, "rot13").encode()


def test_a_batch_decodes_with_it_and_keeps_the_bytes(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    deck.reels["reel"].record(rotated('{"a": 1}'), None, b"\xff", headers=ROT)
    deck.reels["reel"].record(rotated('{"a": 2}'))
    report = ingest(lake, STREAM, at)
    assert (report.events_landed, report.events_rejected) == (2, 2)
    assert lake.query("select payload, payload_raw from raw.secret order by position") == [
        ('{"a": 1}', rotated('{"a": 1}')),
        (None, None),
    ]
    assert lake.query("select reason from raw.rejects order by position") == [("not_rot13",), ("no_rot",)]
    assert lake.query("select bytes_read from raw.batches") == [(2 * len(rotated('{"a": 1}')) + 1,)]


def test_while_it_is_unavailable_nothing_is_rejected(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    deck.reels["reel"].record(rotated("1"), headers=ROT)
    Key.there = False
    with pytest.raises(FormatUnavailable, match="is not at hand; bring it"):
        ingest(lake, STREAM, at)
    assert lake.query("select count(*) from raw.batches") == [(0,)]
    Key.there = True
    assert ingest(lake, STREAM, at).events_landed == 1


def test_retry_and_replay_decode_with_it(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    reel = deck.reels["reel"]
    reel.record(rotated("[1]"), headers=ROT)
    reel.record(rotated('{"late": true}'), b"\xff", headers=None)
    assert ingest(lake, STREAM, at).events_rejected == 2
    assert retry(lake, STREAM.name, decode=decoder("rot13")).still_rejected == 2
    # The sender forgot the header: the log that is read again has it.
    reel.events[1]["headers"] = ROT
    log = open_log(STREAM, at)
    report = replay(lake, STREAM.name, log=log, decode=decoder("rot13"))
    assert (report.landed, report.partitions[0].undecodable) == (1, 1)
    assert lake.query("select payload, payload_raw from raw.secret where position = 1") == [
        ('{"late": true}', rotated('{"late": true}'))
    ]
    # Bytes are counted as they came, and positions stay.
    assert lake.query("select bytes_read from raw.batches where batch_id = 2") == [
        (len(rotated('{"late": true}')),)
    ]
    assert read_state(lake, STREAM.name).positions["reel-0"].next == 3
    assert not prove(lake, STREAM.name).defects


def test_its_reasons_are_in_the_contract_of_rejects() -> None:
    assert reasons() >= {"too_large", "not_json", "no_rot", "not_rot13"}
    assert "no_rot" in rejects_contract().text


def test_a_library_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rot13, "ROT13", replace(rot13.ROT13, libraries=("no_such_library",), extra="rot"))
    file = tmp_path / "streams.yml"
    file.write_text("secret:\n  source: {tape: reel}\n  format: rot13\n")
    with pytest.raises(ConfigError) as error:
        load_streams(file)
    assert str(error.value) == (
        "streams.yml line 3, stream 'secret': streams of format 'rot13' need the package no_such_library: "
        "install 'millrace-lakehouse[rot]'"
    )


def test_what_is_too_large_is_never_asked_of_it(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at.replaced(payload_max_bytes=4)
    deck.reels["reel"].record(b"12345", rotated("1"), b"123456", headers=ROT)
    report = ingest(lake, STREAM, lake.settings)
    assert (report.events_landed, report.events_rejected) == (1, 2)
    assert lake.query("select position, reason, payload_bytes, payload_raw from raw.rejects order by 1") == [
        (0, "too_large", 5, None),
        (2, "too_large", 6, None),
    ]


def test_a_replay_from_raw_corrects_what_a_wrong_decoder_made(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at.replaced(batch_max_events=2)
    reel = deck.reels["reel"]
    Key.wrong = True
    for sent in ((rotated("[1]"), None, rotated("[2]")), (rotated("[3]"), b"\xff")):
        reel.record(*sent, headers=ROT)
        while reel.end != read_position(lake):
            ingest(lake, STREAM, lake.settings)
    rows = "select * exclude (payload) from raw.secret order by position"
    before, texts = lake.query(rows), "select payload from raw.secret order by position"
    assert lake.query(texts) == [('"?"',), (None,), ('"?"',), ('"?"',)]
    Key.wrong = False
    report = redecode(lake, STREAM.name, decode=decoder("rot13"))
    assert (report.read, report.changed, report.refused) == (3, 3, 0)
    assert lake.query(texts) == [("[1]",), (None,), ("[2]",), ("[3]",)]
    # Bytes, positions, times and batches are the same rows; the ledger adds up; once is enough.
    assert lake.query(rows) == before
    assert not prove(lake, STREAM.name).defects
    snapshot = lake.snapshot_id()
    assert redecode(lake, STREAM.name, decode=decoder("rot13")).changed == 0
    assert lake.snapshot_id() == snapshot


def test_what_today_s_decoder_refuses_keeps_its_text(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    deck.reels["reel"].record(rotated("1"), rotated("22"), headers=ROT)
    ingest(lake, STREAM, at)
    lake.settings = at.replaced(payload_max_bytes=1)
    report = redecode(lake, STREAM.name, decode=decoder("rot13"))
    assert (report.read, report.changed, report.refused) == (2, 0, 1)
    assert report.example == "reel-0@1: too_large, 2 bytes, the limit is 1"
    assert lake.query("select payload from raw.secret order by position") == [("1",), ("22",)]


@pytest.mark.parametrize(("place", "after"), [("redecode.written", '"?"'), ("redecode.committed", "[1]")])
def test_a_replay_from_raw_that_is_stopped_is_done_again(
    lake: Lake, at: Settings, deck: Deck, place: str, after: str
) -> None:
    lake.settings = at
    deck.reels["reel"].record(rotated("[1]"), headers=ROT)
    Key.wrong = True
    ingest(lake, STREAM, at)
    Key.wrong = False

    def stop(name: str) -> None:
        if name == place:
            raise KeyboardInterrupt

    install_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        redecode(lake, STREAM.name, decode=decoder("rot13"))
    install_hook(None)
    lake.close()
    texts = "select payload from raw.secret"
    assert lake.query(texts) == [(after,)]
    redecode(lake, STREAM.name, decode=decoder("rot13"))
    assert lake.query(texts) == [("[1]",)]


def read_position(lake: Lake) -> int:
    """Where the lake stands; 0 before its first batch."""
    lake.prepare([STREAM.name])
    found = read_state(lake, STREAM.name).positions.get("reel-0")
    return found.next if found else 0
