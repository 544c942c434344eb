"""The quick way of flat Avro records says what the careful one says, to the byte, or nothing."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.formats.avro import columns as quick_way
from ingestion.formats.avro.columns import columns_of
from ingestion.formats.avro.schema import AvroSchema, parse
from ingestion.formats.avro.whole import whole_of
from ingestion.formats.schema_registry.reading import _after_the_prefix
from tests.formats.avro_bytes import declare, decode, encode, single_object

_LONG = st.integers(-(2**63), 2**63 - 1)
_LONGER = st.sampled_from([63, 64, 8191, 8192]).map(
    lambda length: "x" * length
)  # what their length takes differs
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | _LONGER
_LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**40), 2**40) | _LONG),
    ("float", st.floats(width=32)),
    ("double", st.floats()),
    ("string", _TEXT),
    ({"type": "int", "logicalType": "date"}, st.integers(-(2**31), 2**31 - 1)),
    ({"type": "long", "logicalType": "timestamp-millis"}, _LONG),
    ({"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}, st.sampled_from("ABC")),
]


@st.composite
def records(draw: st.DrawFn) -> tuple[dict[str, Any], list[bytes]]:
    """A flat schema and values of it, as bytes."""
    fields, strategies = [], {}
    for number in range(draw(st.integers(1, 5))):
        kind, values = draw(st.sampled_from(_LEAVES))
        if isinstance(kind, dict) and "name" in kind:
            kind = kind | {"name": f"E{number}"}
        nullable = draw(st.sampled_from(["no", "first", "last"]))
        if nullable != "no":
            kind = ["null", kind] if nullable == "first" else [kind, "null"]
            values = st.none() | values
        fields.append({"name": f"f{number}", "type": kind})
        strategies[f"f{number}"] = values
    schema = {"type": "record", "name": "R", "fields": fields}
    bare = {"type": "record", "name": "R", "fields": [_bare(field) for field in fields]}
    rows = draw(st.lists(st.fixed_dictionaries(strategies), min_size=1, max_size=8))
    return schema, [encode(bare, row) for row in rows]


def _bare(node: Any) -> Any:
    """Without logical types, so that any number is one."""
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {key: _bare(each) if key == "type" else each for key, each in node.items() if key != "logicalType"}


def carefully(schema: AvroSchema, values: list[bytes]) -> list[str] | None:
    """What the careful way says; None where it refuses one."""
    read = whole_of(schema, schema)
    try:
        return [read(value).decode() for value in values]
    except Exception:
        return None


def quickly(schema: AvroSchema, values: list[bytes]) -> list[str] | None:
    columns = columns_of(schema, schema)
    assert columns is not None
    found = columns.texts(pa.array(values, pa.binary()))
    return None if found is None else found.to_pylist()


@given(records())
def test_what_it_says_is_what_the_careful_way_says(made: tuple[dict[str, Any], list[bytes]]) -> None:
    schema = parse(json.dumps(made[0]))
    assert quickly(schema, made[1]) in (None, carefully(schema, made[1]))


@given(records(), st.data())
def test_damaged_bytes_are_left_to_the_careful_way(
    made: tuple[dict[str, Any], list[bytes]], data: st.DataObject
) -> None:
    schema, values = parse(json.dumps(made[0])), made[1]
    at = data.draw(st.integers(0, len(values) - 1))
    value = bytearray(values[at])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value)))
        how = data.draw(st.sampled_from(["put", "cut", "change"]))
        value[place : place + (how != "put")] = data.draw(st.binary(max_size=2)) if how != "cut" else b""
    values[at] = bytes(value)
    found = quickly(schema, values)
    assert found is None or found == carefully(schema, values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("long", [0, -1, 63, 64, -65, 2**40, -(2**61)]),
        ("double", [0.1, -0.0, 1e22, 1e-7, float("nan"), float("-inf")]),
        ("string", ["", 'a"b', "\\", "\x00\x1f", "é\u2028", "x" * 300]),
        (["null", "string"], [None, "a", None]),
        ([{"type": "long", "logicalType": "timestamp-millis"}, "null"], [None, 1_772_323_200_123]),
        ("boolean", [True, False]),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, ["B", "A"]),
    ],
)
def test_ordinary_values_go_the_quick_way(kind: Any, values: list[Any]) -> None:
    text = {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}
    schema = parse(json.dumps(text))
    written = [encode(text, {"a": value}) for value in values]
    found = quickly(schema, written)
    assert found is not None
    assert found == carefully(schema, written)


@pytest.mark.parametrize(
    "kind",
    [
        "bytes",
        {"type": "fixed", "name": "F", "size": 3},
        {"type": "array", "items": "int"},
        {"type": "map", "values": "int"},
        ["null", "int", "string"],
        {"type": "record", "name": "Inner", "fields": [{"name": "b", "type": "int"}]},
    ],
    ids=["bytes", "fixed", "array", "map", "union", "record"],
)
def test_what_nests_or_is_bytes_has_no_quick_way(kind: Any) -> None:
    schema = parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}))
    assert columns_of(schema, schema) is None


ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"]}],
}


def test_one_bad_value_among_thousands_is_a_reject_and_the_others_land(tmp_path: Path) -> None:
    values: list[bytes | None] = [encode(ORDER, {"id": n, "note": f"n{n}"}) for n in range(2_500)]
    values[1_200], values[7] = encode(ORDER, {"id": 1, "note": "x"}) + b"!", None
    decoded = decode(declare(tmp_path, ORDER, encoding="bare"), values, tmp_path)
    (reject,) = decoded.rejects.to_pylist()
    assert (reject["position"], reject["reason"]) == (1_200, "not_avro")
    assert "the value ends after" in reject["detail"]
    payloads = decoded.events["payload"].to_pylist()
    assert payloads[7] is None
    assert payloads[2_498] == '{"id":2499,"note":"n2499"}'
    assert decoded.events["position"].to_pylist() == [n for n in range(2_500) if n != 1_200]


def test_a_text_that_is_too_long_is_refused_as_ever(tmp_path: Path) -> None:
    values = [encode(ORDER, {"id": n, "note": "x" * (80 if n else 10)}) for n in range(2)]
    decoded = decode(declare(tmp_path, ORDER, encoding="bare"), values, tmp_path, max_bytes=90)
    assert decoded.events["position"].to_pylist() == [0]
    assert decoded.rejects["reason"].to_pylist() == ["unpacks_too_large"]


def test_a_single_object_among_bare_values_is_seen(tmp_path: Path) -> None:
    values = [encode(ORDER, {"id": 1, "note": None}), single_object(ORDER, {"id": 2, "note": "b"})]
    decoded = decode(declare(tmp_path, ORDER), values, tmp_path)
    assert decoded.events["payload"].to_pylist() == ['{"id":1,"note":null}', '{"id":2,"note":"b"}']


def test_what_begins_as_a_single_object_is_not_read_as_a_bare_value(tmp_path: Path) -> None:
    fields = [{"name": "n", "type": "long"}, {"name": "d", "type": "double"}]
    reading = {"type": "record", "name": "R", "fields": fields}
    values = [encode(reading, {"n": n, "d": 0.5}) for n in (1, -98)]
    assert values[1].startswith(b"\xc3\x01")
    decoded = decode(declare(tmp_path, reading), values, tmp_path)
    assert decoded.events["position"].to_pylist() == [0]
    assert decoded.rejects["reason"].to_pylist() == ["unknown_schema"]


def test_what_is_no_text_is_left_to_the_careful_way() -> None:
    schema = parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}))
    assert quickly(schema, [b"\x02a", b"\x04\xff\xfe"]) is None


@pytest.mark.parametrize("count", [1, 2, 333, 2_000])
def test_values_behind_a_schemas_number_are_read_without_it(count: int) -> None:
    schema = parse(json.dumps(ORDER))
    columns = columns_of(schema, schema)
    assert columns is not None
    bare = [encode(ORDER, {"id": n, "note": None}) for n in range(count)]
    values = pa.array([b"\0\0\0\0\7" + value for value in bare], pa.binary())
    quick = _after_the_prefix(pa.chunked_array([values]), columns.texts)
    assert quick is not None
    found = quick(values)
    assert found is not None
    assert found.to_pylist() == carefully(schema, bare)
    others = pa.array([b"\0\0\0\0\7" + bare[0], b"\0\0\0\0\10" + bare[0]], pa.binary())
    assert quick(others) is None


def test_without_the_library_values_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyruhvro", None)
    quick_way.columns_of.cache_clear()
    try:
        schema = parse(json.dumps(ORDER))
        assert columns_of(schema, schema) is None
        decoded = decode(
            declare(tmp_path, ORDER, encoding="bare"), [encode(ORDER, {"id": 1, "note": None})], tmp_path
        )
        assert decoded.events["payload"].to_pylist() == ['{"id":1,"note":null}']
    finally:
        quick_way.columns_of.cache_clear()


@pytest.mark.parametrize("size", [0, 63, 64, 8191, 8192, 2**20 - 1, 2**20])
def test_what_takes_one_byte_more_goes_the_quick_way_too(size: int) -> None:
    fields = [{"name": "text", "type": "string"}, {"name": "number", "type": ["null", "long"]}]
    schema = {"type": "record", "name": "R", "fields": fields}
    rows = [{"text": "x" * size, "number": number} for number in (size, -size, -size - 1, None)]
    parsed = parse(json.dumps(schema))
    values = [encode(schema, row) for row in rows]
    assert quickly(parsed, values) == [json.dumps(row, separators=(",", ":")) for row in rows]
