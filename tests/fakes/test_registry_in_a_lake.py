"""A schema registry between log and lake: away, unknown ids, and a replay that needs it no more."""

import json
from pathlib import Path

import pytest

from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry import registry as product
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.redecode import redecode
from ingestion.land.resolutions import retry
from ingestion.settings import Settings
from tests.fakes.tape import Deck
from tests.formats.registering import avro, record
from tests.ingestion.helpers import ingest
from tests.servers.schema_registry import SchemaRegistry

FIRST, SECOND = record(("id", "long")), record(("id", "long"), ("cents", "long"))
SECOND["fields"][1]["default"] = 0
PAYLOADS = "select payload from raw.orders order by position"
STREAM = {
    "name": "orders",
    "source": {"tape": "reel"},
    "format": {"avro": {"schema": "prefix"}},
    "fields": {},
}


def test_a_batch_waits_for_the_registry_and_a_replay_does_not(
    lake: Lake, at: Settings, deck: Deck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "_AGAIN_SECONDS", 0.0)
    server = SchemaRegistry(tmp_path / "registry").start()
    other = SchemaRegistry(tmp_path / "other").start()
    at = at.replaced(schema_registry_url=server.url)
    lake.settings, stream = at, Stream.model_validate(STREAM)
    first = avro(server, FIRST)
    deck.reels["reel"].record(first({"id": 1}))
    assert ingest(lake, stream, at).events_landed == 1
    server.kill()
    deck.reels["reel"].record(first({"id": 2}))
    assert ingest(lake, stream, at).events_landed == 1, "it needs no schema that it does not have"
    avro(other, FIRST)({"id": 0})
    strange = avro(other, SECOND)({"id": 3, "cents": 4})
    deck.reels["reel"].record(first({"id": 3}), strange)
    with pytest.raises(FormatUnavailable, match="gives no answer"):
        ingest(lake, stream, at)
    assert lake.query("select count(*) from raw.rejects") == [(0,)]
    server.start()
    report = ingest(lake, stream, at)
    assert (report.events_landed, report.events_rejected) == (1, 1)
    assert retry(lake, "orders", decode=decoder_of(stream, at)).still_rejected == 1
    assert avro(server, SECOND)({"id": 3, "cents": 4}) == strange, "now it knows the id"
    assert retry(lake, "orders", decode=decoder_of(stream, at)).landed == 1
    landed = lake.query(PAYLOADS)
    assert [json.loads(text) for (text,) in landed] == [
        {"id": 1},
        {"id": 2},
        {"id": 3},
        {"id": 3, "cents": 4},
    ]
    server.stop()
    other.stop()
    product._opened.cache_clear()
    lake.connection.execute("update raw.orders set payload = '{}'")
    assert redecode(lake, "orders", decode=decoder_of(stream, at, with_keys=False)).changed == 4
    assert lake.query(PAYLOADS) == landed, "each by the schema of then, without the registry"
    assert not prove(lake, "orders").defects
