"""Avro on its ways: alone, as single objects, in containers, by another schema; and what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from tests.formats.avro_bytes import container, declare, decode, encode, refusals, single_object, texts
from tests.repository import REPOSITORY

SHARED = REPOSITORY.parent / "shared" / "data" / "avro"
OLD = {
    "type": "record", "name": "shop.Order",
    "fields": [
        {"name": "id", "type": "int"}, {"name": "note", "type": "string"}, {"name": "state", "type":
         {"type": "enum", "name": "State", "symbols": ["NEW", "LOST"]}}, {"name": "gone", "type": "bytes"},
    ],
}  # fmt: skip
NEW = {
    "type": "record", "name": "shop.Purchase", "aliases": ["shop.Order"],
    "fields": [
        {"name": "state", "type":
         {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"], "default": "NEW"}},
        {"name": "number", "aliases": ["id"], "type": "double"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "seal", "type": "bytes", "default": "\u00ff\u0000"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
         "default": "\u0001"},
        {"name": "line", "type": {"type": "record", "name": "Line", "fields":
         [{"name": "day", "type": {"type": "int", "logicalType": "date"}, "default": 1}]}, "default": {}},
        {"name": "tags", "type": {"type": "map", "values": ["null", "long"]}, "default": {"a": None}},
    ],
}  # fmt: skip
RECURSIVE = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}
SENT = {"id": 7, "note": "n", "state": "LOST", "gone": b"x"}
RESOLVED = {
    "state": "NEW", "number": 7.0, "note": "n", "seal": "/wA=", "price": "0.01",
    "line": {"day": "1970-01-02"}, "tags": {"a": None},
}  # fmt: skip


def test_raw_keeps_the_bytes_of_every_event(tmp_path: Path) -> None:
    sent = [encode(OLD, SENT), None, encode(OLD, SENT | {"id": -1})]
    decoded = decode(declare(tmp_path, OLD), sent, tmp_path)
    assert decoded.events["payload_raw"].to_pylist() == sent
    payloads = decoded.events["payload"].to_pylist()
    assert [text and json.loads(text)["id"] for text in payloads] == [7, None, -1]


def test_a_bad_value_is_refused_alone(tmp_path: Path) -> None:
    good = encode(OLD, SENT)
    no_text = good[:2] + b"\xff" + good[3:]
    sent = [good, good[:-1], good, good + b"\0", b"", b"\xff" * 20, no_text]
    decoded = decode(declare(tmp_path, OLD), sent, tmp_path)
    assert decoded.events["position"].to_pylist() == [0, 2]
    assert set(decoded.rejects["reason"].to_pylist()) == {"not_avro"}
    kept = [each for at, each in enumerate(sent) if at not in (0, 2)]
    assert decoded.rejects["payload_raw"].to_pylist() == kept
    ends = f"ValueError: the value ends after {len(good)} of {len(good) + 1} bytes"
    assert decoded.rejects["detail"].to_pylist()[1] == ends


def test_a_symbol_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """fastavro would take the last symbol for number -1."""
    kind = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
    for sent in (b"\x01", b"\x04"):
        ((reason, detail),) = refusals(declare(tmp_path, kind), [sent], tmp_path)
        assert (reason, "has no symbol" in detail) == ("not_avro", True)


@pytest.mark.parametrize("write", [single_object, lambda schema, value: container(schema, [value])])
def test_what_another_schema_wrote_is_resolved(tmp_path: Path, write: Any) -> None:
    (tmp_path / "old.avsc").write_text(json.dumps(OLD))
    declared = declare(tmp_path, NEW, former=["old.avsc"])
    (text,) = texts(declared, [write(OLD, SENT)], tmp_path)
    found = json.loads(text)
    assert (found[0] if isinstance(found, list) else found) == RESOLVED
    assert list(RESOLVED) == list(found[0] if isinstance(found, list) else found)


def test_a_field_without_a_default_that_was_not_sent_is_refused(tmp_path: Path) -> None:
    wanted = OLD | {"fields": [*OLD["fields"], {"name": "more", "type": "int"}]}  # type: ignore[misc]
    ((reason, detail),) = refusals(declare(tmp_path, wanted), [container(OLD, [SENT])], tmp_path)
    assert (reason, "has no field 'more'" in detail) == ("not_avro", True)


@pytest.mark.parametrize(
    ("written", "wanted", "value", "text"),
    [
        ("int", "long", 5, "5"),
        ("long", "double", 5, "5.0"),
        ("float", "double", 0.5, "0.5"),
        ("string", "bytes", "é", '"w6k="'),
        ("bytes", "string", "é".encode(), '"é"'),
        ("int", ["null", "string", "double"], 5, '{"double":5.0}'),
        (["null", "int"], "long", 5, "5"),
        (["null", "int", "string"], ["string", "null", "long"], 5, "5"),
        (["int", "string"], ["null", "string", "int"], "a", '"a"'),
        ({"type": "int", "logicalType": "date"}, "long", 0, '"1970-01-01"'),
        ("long", {"type": "long", "logicalType": "timestamp-millis"}, 0, '"1970-01-01T00:00:00.000Z"'),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "float"}, [1], "[1.0]"),
        ({"type": "map", "values": "int"}, {"type": "map", "values": ["null", "long"]}, {"a": 1}, '{"a":1}'),
    ],
)
def test_types_are_promoted(tmp_path: Path, written: Any, wanted: Any, value: Any, text: str) -> None:
    assert texts(declare(tmp_path, wanted), [container(written, [value])], tmp_path) == [f"[{text}]"]


def test_what_fits_no_branch_is_refused_value_by_value(tmp_path: Path) -> None:
    sent = [container(["string", "int"], [each]) for each in ("a", 1)]
    decoded = decode(declare(tmp_path, "string"), sent, tmp_path)
    assert (decoded.events["payload"].to_pylist(), decoded.rejects.num_rows) == (['["a"]'], 1)


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_a_container_is_an_array_of_its_values(codec: str) -> None:
    values = [SENT | {"id": number} for number in range(2000)]
    (text,) = texts("avro", [container(OLD, values, codec, sync_interval=1000)])
    assert [each["id"] for each in json.loads(text)] == list(range(2000))
    assert texts("avro", [container(OLD, [])]) == ["[]"]


def test_what_is_within_is_no_larger_than_a_value_may_be(tmp_path: Path) -> None:
    bomb = container("bytes", [bytes(1 << 20)], "deflate")
    assert len(bomb) < 2000
    assert [reason for reason, _ in refusals("avro", [bomb], max_bytes=5000)] == ["unpacks_too_large"]
    record = {"type": "record", "name": "R", "fields": [{"name": "a_long_name", "type": "int"}]}
    many = container(record, [{"a_long_name": 0}] * 1000)
    assert [reason for reason, _ in refusals("avro", [many], max_bytes=5000)] == ["unpacks_too_large"]
    declared = declare(tmp_path, {"type": "array", "items": record})
    sent = encode({"type": "array", "items": "int"}, [0] * 1000)
    assert [reason for reason, _ in refusals(declared, [sent], tmp_path, max_bytes=5000)] == [
        "unpacks_too_large"
    ]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda sent: sent[:-1], "bytes are said to follow"),
        (lambda sent: sent[:-1] + b"\0", "does not end with the sync marker"),
        (lambda sent: sent.replace(b"null", b"lzo9"), "its codec is 'lzo9'"),
        (lambda sent: sent.replace(b"avro.schema", b"avro.schemb"), "its header has no schema"),
        (lambda sent: sent.replace(b'"int"', b'"inx"'), "its schema cannot be used: UnknownType"),
        (lambda sent: b"Obj\x01", "bytes are said to follow"),
    ],
)
def test_a_damaged_container_is_refused(damage: Any, words: str) -> None:
    ((reason, detail),) = refusals("avro", [damage(container(OLD, [SENT]))])
    assert (reason, words in detail) == ("not_avro", True), detail


def test_a_schema_that_is_not_declared_is_named(tmp_path: Path) -> None:
    sent = single_object(RECURSIVE, {"next": None})
    ((reason, detail),) = refusals(declare(tmp_path, OLD), [sent], tmp_path)
    assert reason == "unknown_schema"
    assert f"the schema of fingerprint {sent[2:10].hex()} is none of those declared" in detail
    # A value of its own may begin with these two bytes: a record whose first number is -98.
    bare = encode(OLD, SENT | {"id": -98})
    assert bare.startswith(b"\xc3\x01")
    assert refusals(declare(tmp_path, OLD), [bare], tmp_path)[0][0] == "unknown_schema"
    assert json.loads(texts(declare(tmp_path, OLD, encoding="bare"), [bare], tmp_path)[0])["id"] == -98


def test_without_a_schema_only_containers_are_read() -> None:
    assert refusals("avro", [encode(OLD, SENT)]) == [
        ("not_avro", "it is not an object container, and no schema is declared")
    ]


@pytest.mark.parametrize("levels", [300, 100_000, 1_000_000])
def test_bytes_that_nest_deep_end_no_process(tmp_path: Path, levels: int) -> None:
    """fastavro's compiled reader overflows the stack at some 100,000."""
    ((reason, detail),) = refusals(declare(tmp_path, RECURSIVE), [b"\x02" * levels + b"\0"], tmp_path)
    assert reason == "not_avro"
    assert detail in ("it nests too deep", "JSON does not hold it: Recursion limit reached")
    assert texts(declare(tmp_path, RECURSIVE), [b"\x02" * 200 + b"\0"], tmp_path)[0].count("{") == 201


def test_a_schema_that_nests_deep_ends_no_process() -> None:
    for inner in ("[" * 100_000, '{"type":"array","items":' * 5000 + '"int"' + "}" * 5000):
        schema = inner.encode()
        sent = b"Obj\x01\x02\x16avro.schema" + _long(len(schema)) + schema + b"\0" + bytes(16)
        ((reason, detail),) = refusals("avro", [sent])
        assert (reason, "its schema cannot be used" in detail) == ("not_avro", True), detail


def _long(value: int) -> bytes:
    value, found = value << 1, bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


_NO_BYTES = ["null", {"type": "fixed", "name": "F", "size": 0}, {"type": "record", "name": "R", "fields": []}]


@pytest.mark.parametrize("items", _NO_BYTES, ids=str)
def test_numbers_without_bytes_do_not_run_for_ever(items: Any) -> None:
    """An array of nulls says its length alone: some bytes would ask for 2^62 of them."""
    array = {"type": "array", "items": items}
    sent = container({"type": "record", "name": "X", "fields": [{"name": "a", "type": array}]}, [])
    ((reason, detail),) = refusals("avro", [sent])
    assert (reason, "may have any length" in detail) == ("not_avro", True)
    block = container(items, [])
    ((reason, detail),) = refusals("avro", [block + _long(1 << 40) + b"\0" + block[-16:]])
    assert (reason, "may be any number" in detail) == ("not_avro", True)


beside = pytest.mark.skipif(
    not SHARED.is_dir(), reason="Avro's own files are not beside the project (shared/data/avro)"
)


@beside
@pytest.mark.parametrize("codec", ["", "-deflate", "-snappy", "-zstd", "-sorted"])
def test_avro_s_own_containers(codec: str) -> None:
    """Snappy and zstd are unpacked without the libraries that fastavro needs for them."""
    (text,) = texts("avro", [(SHARED / f"weather{codec}.avro").read_bytes()])
    lines = (SHARED / "weather.json").read_text().splitlines()
    assert sorted(map(repr, json.loads(text))) == sorted(repr(json.loads(line)) for line in lines)


@beside
def test_avro_s_own_union_and_a_header_that_holds_the_sync_marker() -> None:
    with (SHARED / "with_union.avro").open("rb") as file:
        read = list(fastavro.reader(file))
    sent = [(SHARED / f"{name}.avro").read_bytes() for name in ("with_union", "syncInMeta")]
    union, marked = texts("avro", sent)
    assert json.loads(union) == read
    # fastavro 1.13.1 does not open this one: its header holds bytes that are not text.
    assert [each["ID"] for each in json.loads(marked)] == list(range(1, 6002))


@beside
def test_avro_s_own_single_object_and_interop_schema(tmp_path: Path) -> None:
    declared = {"avro": {"schema": {"file": "single_object_message.avsc"}}}
    (text,) = texts(declared, [(SHARED / "single_object_message.bin").read_bytes()], SHARED)
    assert json.loads(text) == {"id": 42, "name": "Bill", "tags": ["dog_lover", "cat_hater"]}
    schema = json.loads((SHARED / "interop.avsc").read_text())
    value: dict[str, Any] = {
        "intField": 1, "longField": 2**40, "stringField": "s", "boolField": True, "floatField": 0.5,
        "doubleField": -1e300, "bytesField": b"\x00", "nullField": None, "arrayField": [5.0, 0.0],
        "mapField": {"a": {"label": "l"}}, "unionField": 12.0, "enumField": "C", "fixedField": b"1" * 16,
        "recordField": {"label": "x", "children": [{"label": "y", "children": []}]},
    }  # fmt: skip
    (text,) = texts({"avro": {"schema": {"file": "interop.avsc"}}}, [encode(schema, value)], SHARED)
    assert json.loads(text) == value | {"bytesField": "AA==", "fixedField": "MTExMTExMTExMTExMTExMQ=="}


def test_a_scale_beyond_reason_leaves_bytes() -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 10**9, "scale": 10**9}
    header = json.dumps(decimal).encode()
    sent = b"Obj\x01\x02\x16avro.schema" + _long(len(header)) + header + b"\0" + bytes(16)
    assert texts("avro", [sent + b"\x02\x04\x02\x01" + bytes(16)]) == ['["AQ=="]']


def test_a_name_without_a_namespace_stays_one_within_a_namespace(tmp_path: Path) -> None:
    plain = {"type": "record", "name": "P", "namespace": "", "fields": [{"name": "n", "type": "int"}]}
    inner = {"type": "record", "name": "shop.R", "fields": [{"name": "p", "type": plain}]}
    other = {"type": "record", "name": "shop.P", "fields": [{"name": "s", "type": "string"}]}
    schema = {
        "type": "record",
        "name": "shop.X",
        "fields": [
            {"name": "r", "type": inner},
            {"name": "p", "type": other},
            {"name": "q", "type": "shop.P"},
        ],
    }
    value = {"r": {"p": {"n": 1}}, "p": {"s": "a"}, "q": {"s": "b"}}
    assert json.loads(texts(declare(tmp_path, schema), [encode(schema, value)], tmp_path)[0]) == value


def test_a_value_that_was_packed_whole_is_unpacked(tmp_path: Path) -> None:
    sent = gzip.compress(encode(OLD, SENT))
    assert json.loads(texts(declare(tmp_path, OLD), [sent], tmp_path)[0])["id"] == 7
