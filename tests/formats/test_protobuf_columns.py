"""The quick way of flat messages says what the careful one says, to the byte, or nothing."""

import base64
import sys
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ptars import HandlerPool

from ingestion.formats.protobuf.columns import columns_of
from ingestion.formats.protobuf.compiled import compiled
from ingestion.formats.protobuf.descriptors import message_class
from ingestion.formats.protobuf.format import _read_one
from ingestion.formats.protobuf.registered import quick_of
from ingestion.formats.protobuf.sizes import are_whole
from ingestion.formats.schema_registry.registry import Registered
from tests.formats.avro_bytes import decode
from tests.formats.test_protobuf_flat import _FLAT, _PROTO

_MORE = (
    _PROTO
    + """
message Plain {
  string id = 1;
  int64 count = 2;
  uint64 total = 3;
  double celsius = 4;
  float power = 5;
  bool ok = 6;
  bytes frame = 7;
  State state = 8;
  optional string note = 9;
  optional double limit = 10;
}
message Last { optional string note = 1; optional int32 number = 2; string id = 3; bool ok = 4; }
message Absent { optional string note = 1; optional uint64 number = 2; optional State state = 3; }
"""
)
_LIMIT = 1 << 20
_PLAIN = _FLAT.map(lambda row: {name: value for name, value in row.items() if name != "text"})


@pytest.fixture(scope="module")
def descriptors(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("columns")
    (folder / "flat.proto").write_text(_MORE)
    return compiled(folder / "flat.proto", project=folder)


def carefully(of_type: Any, values: list[bytes]) -> list[str] | None:
    """What the careful way says; None where it refuses one."""
    found = [_read_one(value, None, of_type=of_type, max_bytes=_LIMIT) for value in values]
    texts = [text.decode() for text in found if isinstance(text, bytes)]
    return texts if len(texts) == len(found) else None


def quickly(of_type: Any, values: list[bytes]) -> list[str] | None:
    columns = columns_of(of_type)
    assert columns is not None
    found = columns.texts(pa.array(values, pa.binary()))
    return None if found is None else found.to_pylist()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PLAIN, min_size=1, max_size=6))
def test_what_it_says_is_what_the_careful_way_says(descriptors: bytes, rows: list[dict[str, Any]]) -> None:
    of_type = message_class(descriptors, "Plain")
    values = [of_type(**row).SerializeToString() for row in rows]
    assert quickly(of_type, values) == carefully(of_type, values)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PLAIN, min_size=1, max_size=4), st.data())
def test_damaged_bytes_are_left_to_the_careful_way(
    descriptors: bytes, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    of_type = message_class(descriptors, "Plain")
    values = [of_type(**row).SerializeToString() for row in rows]
    at = data.draw(st.integers(0, len(values) - 1))
    value = bytearray(values[at])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value)))
        value[place : place + 1] = data.draw(st.binary(max_size=3))
    values[at] = bytes(value)
    assert quickly(of_type, values) in (None, carefully(of_type, values))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("Last", [{}, {"note": "a"}, {"number": 0}, {"note": "", "number": -7, "id": 'a"b', "ok": True}]),
        ("Absent", [{}, {"number": 2**64 - 1}, {"note": "é\u2028"}, {"state": 1, "note": "\x00"}]),
        ("Absent", [{}]),
        ("One", [{"n": 0}, {"n": -(2**31)}]),
    ],
    ids=["first fields absent", "all may be absent", "empty", "one field"],
)
def test_fields_that_are_not_there_leave_no_comma(
    descriptors: bytes, name: str, rows: list[dict[str, Any]]
) -> None:
    of_type = message_class(descriptors, name)
    values = [of_type(**row).SerializeToString() for row in rows]
    found = quickly(of_type, values)
    assert found is not None
    assert found == carefully(of_type, values)


@pytest.mark.parametrize("name", ["Flat", "None", "Nested", "Many", "At"])
def test_other_messages_have_no_quick_way(descriptors: bytes, name: str) -> None:
    assert columns_of(message_class(descriptors, name)) is None


@pytest.mark.parametrize(
    "value",
    ["0b1c", "087f73c468", "0a0161eb8f9a1a94001800", "0bac07", "08ffffffff0f73c4680b14"],
    ids=[
        "a group in place of a number",
        "groups without an end",
        "an end without a group",
        "half a group",
        "as long as its number may be written",
    ],
)
def test_what_protobuf_refuses_and_ptars_does_not_is_left_to_the_careful_way(
    descriptors: bytes, value: str
) -> None:
    assert carefully(message_class(descriptors, "One"), [bytes.fromhex(value)]) is None
    assert quickly(message_class(descriptors, "One"), [bytes.fromhex(value)]) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PLAIN, min_size=1, max_size=6))
def test_protobuf_s_own_parser_is_asked_where_there_is_more_than_was_read(
    descriptors: bytes, rows: list[dict[str, Any]]
) -> None:
    of_type = message_class(descriptors, "Plain")
    fields = of_type.DESCRIPTOR.fields
    handler = HandlerPool([of_type.DESCRIPTOR.file]).get_for_message(of_type.DESCRIPTOR)
    rows = [
        {**row, "state": 1, "celsius": 1.5, "power": 2.5} for row in rows
    ]  # -0.0 is written, and -1 twice as long

    def whole(values: list[bytes]) -> bool:
        array = pa.array(values, pa.binary())
        return are_whole(array, fields, handler.array_to_record_batch(array).columns)

    values = [of_type(**row).SerializeToString() for row in rows]
    assert whole(values)
    assert not whole([*values, b"\x50\x01"])  # a varint where a number of eight bytes was declared
    assert not whole([*values, b"\x5a\x00"])
    assert not whole([*values, b"\x10\x81\x00"])  # in two bytes what takes one


def test_fields_that_the_schema_does_not_know_are_passed_over(descriptors: bytes) -> None:
    one, plain = message_class(descriptors, "One"), message_class(descriptors, "Plain")
    values = [plain(total=7, note="x", limit=1.5, power=2).SerializeToString()]
    assert quickly(one, values) == carefully(one, values) == ['{"n":0}']


def test_without_the_library_values_are_read_one_by_one(
    tmp_path: Any, descriptors: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ptars", None)
    columns_of.cache_clear()
    try:
        (tmp_path / "flat.proto").write_text(_MORE)
        value = message_class(descriptors, "One")(n=4).SerializeToString()
        assert columns_of(message_class(descriptors, "One")) is None
        decoded = decode({"protobuf": {"file": "flat.proto", "message": "One"}}, [value], tmp_path)
        assert decoded.events["payload"].to_pylist() == ['{"n":4}']
    finally:
        columns_of.cache_clear()


def of_the_registry(descriptors: bytes) -> Registered:
    """Its schema, as a registry gives it."""
    found = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    *others, own = ((file.name, base64.b64encode(file.SerializeToString()).decode()) for file in found.file)
    return Registered("7", "PROTOBUF", own[1], tuple(others), "", 0)


def test_the_way_to_a_message_is_taken_off(descriptors: bytes) -> None:
    quick = quick_of(of_the_registry(descriptors), columns_of)
    assert quick is not None
    one = message_class(descriptors, "One")
    values = [one(n=n).SerializeToString() for n in range(5)]
    found = quick(pa.array([b"\x02\x02" + value for value in values], pa.binary()))
    assert found is not None
    assert found.to_pylist() == carefully(one, values)


@pytest.mark.parametrize(
    "values",
    [
        [b"\x02\x02\x08\x01", b"\x00"],  # two messages
        [b"\x02\x06\x0a\x00"],  # one that nests
        [b"\x02\x7e\x00"],  # one that is not there
        [b"\x80"],  # no way
    ],
    ids=["two messages", "nested", "none", "no way"],
)
def test_values_of_several_messages_are_read_one_by_one(descriptors: bytes, values: list[bytes]) -> None:
    quick = quick_of(of_the_registry(descriptors), columns_of)
    assert quick is not None
    assert quick(pa.array(values, pa.binary())) is None


def test_one_bad_value_among_thousands_is_a_reject_and_the_others_land(
    tmp_path: Any, descriptors: bytes
) -> None:
    (tmp_path / "flat.proto").write_text(_MORE)
    last = message_class(descriptors, "Last")
    values: list[bytes | None] = [last(number=n, id=f"n{n}").SerializeToString() for n in range(4_500)]
    values[1_200], values[4_200] = b"\x1a\x7f", None
    decoded = decode({"protobuf": {"file": "flat.proto", "message": "Last"}}, values, tmp_path)
    (reject,) = decoded.rejects.to_pylist()
    assert (reject["position"], reject["reason"]) == (1_200, "not_protobuf")
    payloads = decoded.events["payload"].to_pylist()
    assert payloads[4_199] is None
    assert payloads[-1] == '{"number":4499,"id":"n4499","ok":false}'
    assert decoded.events["position"].to_pylist() == [n for n in range(4_500) if n != 1_200]
