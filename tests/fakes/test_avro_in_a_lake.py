"""Avro from a log into the lake: raw keeps the bytes, and a schema that was wrong is corrected from raw."""

import json
from pathlib import Path
from typing import Any

from ingestion.declare.stream import Stream
from ingestion.formats.decode import decoder
from ingestion.formats.port import FOLDER
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.redecode import redecode
from ingestion.land.resolutions import retry
from ingestion.settings import Settings
from tests.fakes.tape import Deck
from tests.formats.avro_bytes import declare, encode
from tests.ingestion.helpers import ingest


def schema(*fields: str) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": name, "type": "long"} for name in fields]}


def stream(folder: Path, *fields: str) -> Stream:
    declared = {"name": "orders", "source": {"tape": "reel"}, "format": declare(folder, schema(*fields))}
    return Stream.model_validate(declared, context={FOLDER: folder})


def test_a_wrong_schema_is_corrected_from_raw(lake: Lake, at: Settings, deck: Deck, tmp_path: Path) -> None:
    lake.settings = at
    sent = [encode(schema("id", "cents"), {"id": n, "cents": 100 + n}) for n in range(3)]
    deck.reels["reel"].record(*sent, encode(schema("id"), {"id": 9}))
    wrong = stream(tmp_path, "cents", "id")
    report = ingest(lake, wrong, at)
    assert (report.events_landed, report.events_rejected) == (3, 1)
    payloads = "select payload from raw.orders order by position"
    assert json.loads(lake.query(payloads)[0][0]) == {"cents": 0, "id": 100}
    right = decoder(stream(tmp_path, "id", "cents").format)
    assert redecode(lake, "orders", decode=right).changed == 3
    assert [json.loads(text) for (text,) in lake.query(payloads)] == [
        {"id": n, "cents": 100 + n} for n in range(3)
    ]
    assert [
        bytes(value) for (value,) in lake.query("select payload_raw from raw.orders order by position")
    ] == sent
    # A reject has the same way back, and the ledger adds up after both.
    assert retry(lake, "orders", decode=decoder(stream(tmp_path, "id").format)).landed == 1
    assert lake.query("select payload from raw.orders where position = 3") == [('{"id":9}',)]
    assert not prove(lake, "orders").defects
