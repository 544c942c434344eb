"""Any bytes end in exactly one place: JSON as DuckDB reads it, or a refusal with a declared reason."""

import gzip
from collections.abc import Iterator
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2
from google.transit import gtfs_realtime_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.clock import utc_now
from ingestion.formats.decode import TOO_LARGE, Decoded, decoder
from ingestion.formats.registry import FORMATS, choose_format, find_format, formats
from ingestion.formats.unpack import REASONS
from ingestion.log.envelope import EVENT_SCHEMA, REJECT_SCHEMA, SOURCE_SCHEMA
from tests.fakes.registered import FORMATS as FAKES
from tests.fakes.registered import fakes
from tests.repository import REPOSITORY

EVERY = (*FORMATS, *FAKES)
NEEDS: dict[str, Any] = {
    "protobuf": {"protobuf": {"file": "gtfs.desc", "message": "transit_realtime.Position"}}
}
"""Formats that are nothing without an option."""
DECLARED: tuple[Any, ...] = (
    *(NEEDS.get(name, name) for name in EVERY),
    {"json": {"or_text": True}},
    {"json": {"lines": True}},
    {"json": {"lines": True, "or_text": True, "encoding": "utf-16"}},
    {"csv": {"columns": ["a", "b"], "no_value": "-"}},
    {"csv": {"header": True, "delimiter": ";"}},
    {"text": {"lines": True}},
    {"influx": {"lines": True}},
    {"avro": {"schema": {"file": "orders.avsc"}}},
    {"avro": {"schema": {"file": "orders.avsc"}, "encoding": "bare"}},
)
SCHEMAS = REPOSITORY / "tests" / "formats"


@pytest.fixture(autouse=True, scope="module")
def _registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    described = descriptor_pb2.FileDescriptorSet()
    gtfs_realtime_pb2.DESCRIPTOR.CopyToProto(described.file.add())
    path = tmp_path_factory.mktemp("descriptors") / "gtfs.desc"
    path.write_bytes(described.SerializeToString())
    NEEDS["protobuf"]["protobuf"]["file"] = str(path)
    with fakes():
        yield


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_value = st.one_of(
    st.none(),
    st.binary(max_size=64),
    _json.map(lambda value: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS) if _fits(value) else b"1"),
    st.sampled_from(
        [gzip.compress(b'{"a": 1}'), gzip.compress(b"\0" * 9000), b"\x1f\x8bx", b"\x28\xb5\x2f\xfd1"]
    ),
    st.sampled_from([b"\x0eorder-1\xac\x02\x00", b"Obj\x01", b"\xc3\x01"]),
    st.sampled_from(
        ["[1]".encode("utf-16"), "[1]".encode("utf-16le"), b"1\n2\n", b"offline\0", b"\xfe\xff1"]
    ),
    st.sampled_from(
        [
            b"\x0eorder-1\xac\x02\x00",
            b"Obj\x01",
            b"\xc3\x01",
            b"",
            b" ",
            b"NaN",
            b"[" * 2000 + b"]" * 2000,
            b"{",
            "\ufeff1".encode(),
            b"1 2",
            b"\x00",
        ]
    ),
)
_headers = st.sampled_from(
    [
        None, "{}", '{"rot": "13"}', '{"content_type": "text/plain; charset=utf-16le"}',
        '{"Content-Encoding": "gzip"}', '{"content-encoding": "deflate"}', '{"content_encoding": "br"}',
        '{"user_properties": [["content-encoding", "gzip"]]}',
    ]
)  # fmt: skip


def _fits(value: object) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:  # an integer of more than 64 bits, a surrogate
        return False
    return True


def decode(declared: Any, events: list[tuple[bytes | None, str | None]], *, max_bytes: int = 5000) -> Decoded:
    rows = [
        {
            "source_partition": "log-0", "position": position, "event_key": None, "value": value,
            "headers": headers, "event_time": None,
        }
        for position, (value, headers) in enumerate(events)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA)
    return decoder(choose_format(declared, SCHEMAS))(
        table, stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=max_bytes
    )


def test_every_registered_format_is_asked() -> None:
    assert set(EVERY) == set(formats())


@pytest.mark.parametrize("declared", DECLARED, ids=str)
@settings(max_examples=100, deadline=None)
@given(events=st.lists(st.tuples(_value, _headers), max_size=6))
def test_any_bytes_end_in_exactly_one_place(
    declared: Any, events: list[tuple[bytes | None, str | None]]
) -> None:
    decoded = decode(declared, events)
    name = choose_format(declared, SCHEMAS).name
    landed = dict(
        zip(decoded.events["position"].to_pylist(), decoded.events["payload"].to_pylist(), strict=True)
    )
    refused = decoded.rejects["position"].to_pylist()
    assert sorted([*landed, *refused]) == list(range(len(events)))
    assert decoded.events.schema == EVENT_SCHEMA
    assert decoded.rejects.schema == REJECT_SCHEMA
    known = find_format(name).reasons | {TOO_LARGE} | REASONS
    assert set(decoded.rejects["reason"].to_pylist()) <= known
    for position, text in landed.items():
        assert (text is None) == (events[position][0] is None)
    sizes = [len(events[position][0] or b"") for position in landed]
    assert decoded.event_bytes.to_pylist() == sizes
    kept = dict(zip(landed, decoded.events["payload_raw"].to_pylist(), strict=True))
    for at, raw in kept.items():
        sent = events[at][0]
        text = landed[at]
        same = text is None or text.encode() == sent
        assert raw == (sent if find_format(name).keeps_bytes or not same else None)
    texts = [text for text in landed.values() if text is not None]
    valid = duckdb.execute(
        "select bool_and(json_valid(text)) from (select unnest(?::varchar[]) as text)", [texts]
    )
    assert valid.fetchall() == [(True if texts else None,)]


@pytest.mark.parametrize("name", [name for name in EVERY if name != "binary"])  # which refuses nothing
def test_rejects_keep_the_bytes_and_say_what_was_wrong(name: str) -> None:
    decoded = decode(NEEDS.get(name, name), [(b"\xff\xfe{", None), (b"x" * 11, None)], max_bytes=10)
    rows = decoded.rejects.to_pylist()
    assert [row["payload_raw"] for row in rows] == [b"\xff\xfe{", None]
    assert [row["payload_bytes"] for row in rows] == [3, 11]
    assert rows[1]["reason"] == TOO_LARGE
    assert all(row["detail"] for row in rows)


@pytest.mark.parametrize("name", EVERY)
def test_no_event_is_no_row(name: str) -> None:
    decoded = decode(NEEDS.get(name, name), [])
    assert (decoded.events.num_rows, decoded.rejects.num_rows, len(decoded.event_bytes)) == (0, 0, 0)
