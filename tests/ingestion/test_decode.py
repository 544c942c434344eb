"""Decoding: every byte string ends as exactly one event or one reject; nothing raises, nothing changes."""

import json
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.formats.decode import Decoded, decoder
from ingestion.log.envelope import EVENT_SCHEMA, REJECT_SCHEMA, SOURCE_SCHEMA

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _decode(
    values: list[bytes | None], keys: list[bytes | None] | None = None, max_bytes: int = 1000
) -> Decoded:
    rows: list[dict[str, Any]] = [
        {"source_partition": "t-0", "position": index, "event_key": key, "value": value, "headers": None,
         "event_time": NOW}
        for index, (value, key) in enumerate(zip(values, keys or [None] * len(values), strict=True))
    ]  # fmt: skip
    chunk = pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA)
    return decoder("json")(chunk, stream="s", batch_id=7, ingested_at=NOW, max_bytes=max_bytes)


def test_json_lands_unchanged_byte_by_byte() -> None:
    payloads = [b'{"a": 1,  "a": 2}', b"[]", b'"\xc3\xa9"', b"12345678901234567890123", b" null "]
    decoded = _decode(list(payloads))
    assert [text.encode() for text in decoded.events["payload"].to_pylist()] == payloads
    assert decoded.events["event_id"].to_pylist() == [f"t-0@{n}" for n in range(5)]
    assert set(decoded.events["batch_id"].to_pylist()) == {7}
    assert decoded.rejects.num_rows == 0


def test_a_null_value_is_a_tombstone_not_a_reject() -> None:
    decoded = _decode([b"{}", None], keys=[b"a", b"b"])
    assert decoded.events["payload"].to_pylist() == ["{}", None]
    assert decoded.events["event_key"].to_pylist() == ["a", "b"]


def test_each_kind_of_reject_keeps_its_bytes_and_says_why() -> None:
    bad = [b"", b"  ", b"{", b"\xff\xfe\x00", b'{"a": NaN}', b"[" * 10_000, b"x" * 2000, b'"\\ud800"']
    decoded = _decode([b"{}", *bad, b"1"], max_bytes=1500)
    reasons = decoded.rejects["reason"].to_pylist()
    assert reasons == [
        "empty",
        "empty",
        "not_json",
        "not_utf8",
        "not_json",
        "too_large",
        "too_large",
        "not_json",
    ]
    kept = decoded.rejects["payload_raw"].to_pylist()
    assert kept == [value if len(value) <= 1500 else None for value in bad]
    assert decoded.rejects["payload_bytes"].to_pylist() == [len(value) for value in bad]
    assert all(decoded.rejects["detail"].to_pylist())
    assert decoded.events["position"].to_pylist() == [0, 9]


@pytest.mark.parametrize(
    "payload", [b'{"a": 1e400, "b": "1e400"}', b"[-1e999,2E+400]", b"1" * 400, b'{"1e400": 1e400}']
)
def test_a_number_of_any_size_lands(payload: bytes) -> None:
    decoded = _decode([payload])
    assert decoded.events["payload"].to_pylist() == [payload.decode()]


@pytest.mark.parametrize(
    "payload", [b'{"a": 1e400', b'{"a": --1e400}', b"01e400", b"1.e400", b"1e400x", b"1e400 1", b'"1e400']
)
def test_beside_a_large_number_json_is_as_strict_as_ever(payload: bytes) -> None:
    assert _decode([payload]).rejects["reason"].to_pylist() == ["not_json"]


def test_a_depth_that_readers_cannot_follow_is_rejected() -> None:
    decoded = _decode([b"[" * 5000 + b"]" * 5000], max_bytes=100_000)
    assert decoded.rejects["reason"].to_pylist() == ["not_json"]


def test_a_key_that_is_no_text_is_kept_as_hexadecimal() -> None:
    decoded = _decode([b"{}", b"{}", b"{}"], keys=[b"\xff\x00", "é".encode(), None])
    assert decoded.events["event_key"].to_pylist() == ["\\xff00", "é", None]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=40), st.text(max_size=20).map(str.encode))))
def test_any_bytes_end_in_exactly_one_place(values: list[bytes | None]) -> None:
    decoded = _decode(values, max_bytes=30)
    assert decoded.events.schema == EVENT_SCHEMA
    assert decoded.rejects.schema == REJECT_SCHEMA
    positions = decoded.events["position"].to_pylist() + decoded.rejects["position"].to_pylist()
    assert sorted(positions) == list(range(len(values)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_whatever_lands_duckdb_can_read(value: object) -> None:
    try:
        payload = json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return
    decoded = _decode([payload], max_bytes=10**6)
    for text in decoded.events["payload"].to_pylist():
        assert duckdb.sql("select json_valid($1)", params=[text]).fetchone() == (True,)
