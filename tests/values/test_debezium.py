"""Changes as Debezium sends them: every value as the database had it, every change where it was in the log.

The examples are what the embedded engine of Debezium 3.0.8 made of a PostgreSQL 18 with pgoutput, each line
the topic, the key and the value: two tables `orders` (replica identity full) and `plain` (default), read by a
snapshot; an insert, an update, a changed key and a delete in `orders`; an update, a delete, a message, an
insert and a truncate around `plain`. Other databases' events are written from Debezium's documentation.
"""

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ingestion.declare.stream import Stream
from tests.values.staged import Fate, stage_events

EXAMPLES = Path(__file__).with_name("examples")
ROW: dict[str, Any] = {
    "id": "bigint",
    "customer": "varchar",
    "amount": "decimal(12,2)",
    "big": "decimal(38,3)",
    "placed_on": "date",
    "placed_at": "timestamp",
    "paid_at": "timestamp",
    "micros": "timestamp",
    "at_time": "bigint",
    "note": "varchar",
    "ok": "boolean",
}
WITHOUT_SCHEMA = {
    "amount": {"type": "decimal(12,2)", "encoding": "base64"},
    "placed_on": {"type": "date", "unit": "days"},
    "placed_at": {"type": "timestamp", "unit": "ms"},
}
FORMS = ("with a schema", "without")


def examples(form: str) -> list[dict[str, Any]]:
    """What the engine sent, as a connector hands it over."""
    if form == "without":
        text = (EXAMPLES / "debezium.txt").read_text(encoding="utf-8")
    else:
        text = gzip.decompress((EXAMPLES / "debezium_with_schema.txt.gz").read_bytes()).decode()
    lines = (line.split("\t") for line in text.splitlines())
    return [
        {
            "source_partition": f"{topic}-0",
            "event_key": None if key == "null" else key.encode(),
            "value": None if value == "null" else value.encode(),
        }
        for topic, key, value in lines
    ]


def changes(fields: Mapping[str, Any], **others: Any) -> Stream:
    """A stream of changes."""
    return Stream.model_validate(
        {"name": "s", "source": {"kafka": "s"}, "envelope": "debezium", "fields": fields} | others
    )


def staged(form: str) -> list[Fate]:
    """The examples as staging shows them."""
    fields = ROW | (WITHOUT_SCHEMA if form == "without" else {})
    return stage_events(changes({**fields, "row_id": {"key": "id", "type": "bigint"}}), examples(form))


@pytest.mark.parametrize("form", FORMS)
def test_every_change_is_there_with_its_row_and_nothing_is_wrong(form: str) -> None:
    fates = staged(form)
    seen = [(fate.values["op"], fate.values["source_table"], fate.values["row_id"]) for fate in fates]
    orders, plain = "public.orders", "public.plain"
    assert seen == [
        ("r", orders, 1), ("r", orders, 2), ("r", plain, 1), ("c", orders, 3), ("u", orders, 1),
        ("d", orders, 2), ("c", orders, 20), ("d", orders, 3), ("u", plain, 1), ("d", plain, 1),
        ("m", None, None), ("c", plain, 2), ("t", plain, None),
    ]  # fmt: skip
    assert {fate.cast_errors for fate in fates} == {()}
    assert [fate.values["id"] for fate in fates] == [row_id for _, _, row_id in seen]
    positions = [fate.values["source_position"] for fate in fates]
    assert positions == sorted(positions)
    for fate in fates:
        assert datetime(2026, 11, 1, tzinfo=UTC) < fate.values["source_at"] < fate.values["captured_at"]


@pytest.mark.parametrize("form", FORMS)
def test_the_values_are_those_of_the_database(form: str) -> None:
    first, second, *_ = staged(form)
    assert {name: first.values[name] for name in ROW} == {
        "id": 1,
        "customer": "Ada",
        "amount": Decimal("10.10"),
        "big": Decimal("1.500"),
        "placed_on": date(1969, 7, 20),
        "placed_at": datetime(2026, 3, 1, 8, 0, 0, 123_000, UTC),
        "paid_at": datetime(2026, 3, 1, 7, 0, 0, 123_456, UTC),
        "micros": datetime(2026, 3, 1, 8, 0, 0, 123_456, UTC),
        "at_time": 29_700_500,
        "note": '{"a": 1.10}',
        "ok": True,
    }
    assert second.values["amount"] == Decimal("-12345678.90")
    assert second.values["big"] == Decimal("123456789012345678901234567890.123")
    deleted = next(fate for fate in staged(form) if fate.values["op"] == "d")
    assert deleted.values["after"] is None
    assert json.loads(deleted.values["before"])["customer"] == deleted.values["customer"] == "Bob"


def test_a_schema_is_believed_and_base64_is_not_guessed() -> None:
    """`1234` is a decimal's text and also base64: without a schema the stream says which it is."""
    (price,) = stage_events(changes({"v": "decimal(12,2)"}), [_change(after={"v": "1234"})])
    assert price.values["v"] == Decimal("1234.00")
    coded = {"v": {"type": "decimal(12,2)", "encoding": "base64"}}
    (price, text, wide) = stage_events(
        changes(coded),
        [_change(after={"v": "1234"}), _change(after={"v": "12.50"}), _change(after={"v": "A" * 40})],
    )
    assert price.values["v"] == Decimal(int.from_bytes(bytes.fromhex("d76df8"), "big", signed=True)) / 100
    assert text.cast_errors == wide.cast_errors == ("v",)


MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "sent", "type_name", "shown"),
    [
        ("io.debezium.time.NanoTimestamp", 1_772_352_000_123_456_789, "timestamp", MORNING + 123_456 * MICRO),
        ("io.debezium.time.NanoTimestamp", -1, "timestamp", EPOCH - MICRO),
        ("org.apache.kafka.connect.data.Timestamp", 0, "timestamp", EPOCH),
        ("org.apache.kafka.connect.data.Date", -1, "date", date(1969, 12, 31)),
        ("io.debezium.time.IsoDate", "2026-03-01Z", "date", date(2026, 3, 1)),
        ("io.debezium.time.IsoTimestamp", "2026-03-01T08:00:00.000001Z", "timestamp", MORNING + MICRO),
        ("io.debezium.time.ZonedTimestamp", "2026-03-01T09:00:00+01:00", "timestamp", MORNING),
        ("io.debezium.time.Date", "x", "date", None),
        ("org.apache.kafka.connect.data.Decimal", "###", "decimal(12,2)", None),
    ],
)
def test_a_value_is_what_its_schema_says(kind: str, sent: Any, type_name: str, shown: Any) -> None:
    change = json.loads(_change(after={"v": sent})["value"])
    columns = [{"field": "v", "type": "x", "name": kind, "parameters": {"scale": "2"}}]
    document = {
        "schema": {"type": "struct", "fields": [{"field": "after", "fields": columns}]},
        "payload": change,
    }
    (fate,) = stage_events(changes({"v": type_name}), [{"value": json.dumps(document).encode()}])
    assert fate.values["v"] == shown
    assert fate.cast_errors == (("v",) if shown is None else ())


LSN, COMMIT = "00000027:00000758:0001", "00000027:00000758:0002"


@pytest.mark.parametrize(
    "sources",
    [
        [{"lsn": 9}, {"lsn": 10}],
        [
            {"file": "bin.000009", "pos": 90},
            {"file": "bin.000010", "pos": 4, "row": 0},
            {"file": "bin.000010", "pos": 4, "row": 1},
        ],
        [
            {"commit_lsn": LSN},
            {"commit_lsn": COMMIT, "change_lsn": LSN, "event_serial_no": 9},
            {"commit_lsn": COMMIT, "change_lsn": LSN, "event_serial_no": 10},
        ],
        [{"scn": "9"}, {"scn": "10", "rs_id": " 0x0a.1 "}, {"scn": "10", "rs_id": " 0x0a.2 "}],
        [{"ts_ms": 9, "ord": 31}, {"ts_ms": 10, "ord": 2}, {"ts_ms": 10, "ord": 10}],
        [{"connector": "new"}, {"connector": "new"}],
    ],
    ids=["PostgreSQL", "MySQL", "SQL Server", "Oracle", "MongoDB", "unknown"],
)
def test_a_later_change_has_a_higher_position(sources: list[dict[str, Any]]) -> None:
    events = [_change(after={"v": 1}, source=source) for source in sources]
    positions = [fate.values["source_position"] for fate in stage_events(changes({"v": "bigint"}), events)]
    assert positions == sorted(set(positions))


def test_what_is_not_a_change_is_named() -> None:
    flat = {"value": b'{"v": 1}'}
    unknown = _change(after={"v": 1}, op="x")
    heartbeat = {"value": b'{"ts_ms": 1772323200000}'}
    fates = stage_events(changes({"v": "bigint"}), [flat, unknown, heartbeat])
    assert [fate.cast_errors for fate in fates] == [("op",)] * 3
    assert [fate.values["v"] for fate in fates] == [None] * 3


def test_a_deleted_row_without_its_former_values_has_its_key() -> None:
    gone = _change(op="d") | {"event_key": b'{"schema": {}, "payload": {"v": 7}}'}
    document = _change(after=json.dumps({"v": 8, "price": 1.10}))  # MongoDB sends the row as text
    fields = {"v": "bigint", "price": "decimal(10,2)"}
    deleted, row = stage_events(changes(fields), [gone, document])
    assert (deleted.values["v"], deleted.values["price"], deleted.cast_errors) == (7, None, ())
    assert (row.values["v"], row.values["price"], row.cast_errors) == (8, Decimal("1.10"), ())


def test_a_field_with_the_name_of_a_part_is_refused() -> None:
    with pytest.raises(ValidationError, match="field 'op' has the name of a column that staging adds"):
        changes({"op": "varchar"})
    with pytest.raises(ValidationError, match="'encoding' is for the bytes of decimal"):
        changes({"v": {"type": "varchar", "encoding": "base64"}})


def _change(
    *, op: str = "c", before: Any = None, after: Any = None, source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    change = {"before": before, "after": after, "source": source or {"lsn": 1}, "op": op, "ts_ms": 1}
    return {"value": json.dumps(change).encode()}
