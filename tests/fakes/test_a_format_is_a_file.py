"""A format that only the registry knows: batch, retry and replay decode with it; so do reasons and bytes."""

import codecs
from collections.abc import Iterator

import pytest

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import FormatUnavailable
from ingestion.formats.decode import decoder, reasons
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.land.replay import replay
from ingestion.land.resolutions import retry
from ingestion.settings import Settings
from orchestration.checks.raw_contracts import rejects_contract
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
    Key.there = True


def rot13(text: str) -> bytes:
    return codecs.encode(text, "rot13").encode()


def test_a_batch_decodes_with_it_and_keeps_the_bytes(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    deck.reels["reel"].record(rot13('{"a": 1}'), None, b"\xff", headers=ROT)
    deck.reels["reel"].record(rot13('{"a": 2}'))
    report = ingest(lake, STREAM, at)
    assert (report.events_landed, report.events_rejected) == (2, 2)
    assert lake.query("select payload, payload_raw from raw.secret order by position") == [
        ('{"a": 1}', rot13('{"a": 1}')),
        (None, None),
    ]
    assert lake.query("select reason from raw.rejects order by position") == [("not_rot13",), ("no_rot",)]
    assert lake.query("select bytes_read from raw.batches") == [(2 * len(rot13('{"a": 1}')) + 1,)]


def test_while_it_is_unavailable_nothing_is_rejected(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    deck.reels["reel"].record(rot13("1"), headers=ROT)
    Key.there = False
    with pytest.raises(FormatUnavailable, match="is not at hand; bring it"):
        ingest(lake, STREAM, at)
    assert lake.query("select count(*) from raw.batches") == [(0,)]
    Key.there = True
    assert ingest(lake, STREAM, at).events_landed == 1


def test_retry_and_replay_decode_with_it(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at
    reel = deck.reels["reel"]
    reel.record(rot13("[1]"), headers=ROT)
    reel.record(rot13('{"late": true}'), b"\xff", headers=None)
    assert ingest(lake, STREAM, at).events_rejected == 2
    assert retry(lake, STREAM.name, decode=decoder("rot13")).still_rejected == 2
    # The sender forgot the header: the log that is read again has it.
    reel.events[1]["headers"] = ROT
    log = open_log(STREAM, at)
    report = replay(lake, STREAM.name, log=log, decode=decoder("rot13"))
    assert (report.landed, report.partitions[0].undecodable) == (1, 1)
    assert lake.query("select payload, payload_raw from raw.secret where position = 1") == [
        ('{"late": true}', rot13('{"late": true}'))
    ]
    # Bytes are counted as they came, and positions stay.
    assert lake.query("select bytes_read from raw.batches where batch_id = 2") == [
        (len(rot13('{"late": true}')),)
    ]
    assert read_state(lake, STREAM.name).positions["reel-0"].next == 3
    assert not prove(lake, STREAM.name).defects


def test_its_reasons_are_in_the_contract_of_rejects() -> None:
    assert reasons() >= {"too_large", "not_json", "no_rot", "not_rot13"}
    assert "no_rot" in rejects_contract().text


def test_what_is_too_large_is_never_asked_of_it(lake: Lake, at: Settings, deck: Deck) -> None:
    lake.settings = at.replaced(payload_max_bytes=4)
    deck.reels["reel"].record(b"12345", rot13("1"), b"123456", headers=ROT)
    report = ingest(lake, STREAM, lake.settings)
    assert (report.events_landed, report.events_rejected) == (1, 2)
    assert lake.query("select position, reason, payload_bytes, payload_raw from raw.rejects order by 1") == [
        (0, "too_large", 5, None),
        (2, "too_large", 6, None),
    ]
