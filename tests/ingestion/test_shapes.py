"""Shapes of the wild: compressed, in another encoding, bare text, lines. Each lands, or says why not."""

import gzip
import zlib
from typing import Any

import pyarrow as pa
import pytest

from ingestion.clock import utc_now
from ingestion.formats.decode import Decoded, decoder
from ingestion.formats.registry import choose_format
from ingestion.log.envelope import SOURCE_SCHEMA

GZIP = '{"Content-Encoding": "gzip"}'
DEFLATE = '{"user_properties": [["content-encoding", "deflate"]]}'


def decode(
    value: bytes | None, declared: Any = "json", *, headers: str | None = None, max_bytes: int = 1000
) -> Decoded:
    row = {"source_partition": "s-0", "position": 0, "value": value, "headers": headers}
    # Beside ordinary events, which stay as they are.
    ordinary = [{"source_partition": "s-0", "position": at, "value": b"{}"} for at in (1, 2)]
    rows = ordinary if declared == "json" else []
    chunk = pa.Table.from_pylist([row, *rows], schema=SOURCE_SCHEMA)
    return decoder(choose_format(declared))(
        chunk, stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=max_bytes
    )


def landed(value: bytes, declared: Any = "json", *, headers: str | None = None) -> str | None:
    decoded = decode(value, declared, headers=headers)
    assert decoded.rejects.to_pylist() == []
    text: str = decoded.events["payload"][0].as_py()
    # Raw keeps what the text was made from, unless it is the same.
    assert decoded.events["payload_raw"][0].as_py() == (None if text.encode() == value else value)
    assert decoded.events["payload_raw"][1:].null_count == decoded.events.num_rows - 1
    return text


def refused(value: bytes, declared: Any = "json", *, headers: str | None = None) -> tuple[str, str]:
    (reject,) = decode(value, declared, headers=headers).rejects.to_pylist()
    assert reject["payload_raw"] == value
    return reject["reason"], reject["detail"]


def zstd(value: bytes) -> bytes:
    packed: bytes = pa.compress(value, "zstd", asbytes=True)
    return packed


@pytest.mark.parametrize("headers", [None, GZIP, '{"qos": 1}'])
@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_compressed_json_lands_by_its_first_bytes(pack: Any, headers: str | None) -> None:
    assert landed(pack(b'{"a": 1.10}'), headers=headers) == '{"a": 1.10}'


def test_deflate_and_several_layers_and_members_unpack() -> None:
    assert landed(zlib.compress(b"[1]"), headers=DEFLATE) == "[1]"
    assert landed(gzip.compress(gzip.compress(b"[1]")), headers=GZIP) == "[1]"
    assert landed(gzip.compress(b"[1,") + gzip.compress(b"2]")) == "[1,2]"
    assert landed(gzip.compress(b"[1]") + b"\0\0") == "[1]"
    assert landed(zstd(b"[1,") + zstd(b"2]")) == "[1,2]"


def test_what_a_broker_unpacked_already_lands_although_its_header_stayed() -> None:
    assert landed(b"[1]", headers=GZIP) == "[1]"
    assert landed(b"[1]", headers='{"content-encoding": "br"}') == "[1]"


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_bomb_is_refused_with_its_bytes_and_without_unpacking_it(pack: Any) -> None:
    reason, detail = refused(pack(b" " * 50_000))
    assert (reason, "more than 1000 bytes" in detail) == ("unpacks_too_large", True)
    assert decode(gzip.compress(b"1" + b" " * 999)).rejects.num_rows == 0
    assert refused(gzip.compress(b"1" + b" " * 1000))[0] == "unpacks_too_large"


@pytest.mark.parametrize(
    ("value", "headers", "says"),
    [
        (gzip.compress(b"[1]", mtime=0)[:-9], None, "gzip that does not unpack: it ends too early"),
        (gzip.compress(b"[1]", mtime=0) + b"more", None, "4 other bytes follow"),
        (b"\x1f\x8bnothing", None, "gzip that does not unpack"),
        (zstd(b"[1, 2, 3]")[:-3], None, "zstd that does not unpack"),
        (b"\x28\xb5\x2f\xfd\xff\xff", None, "zstd that does not unpack"),
        (b"\xffx", '{"content-encoding": "br"}', "says 'br', known are deflate, gzip, zstd"),
    ],
)
def test_what_does_not_unpack_says_why(value: bytes, headers: str | None, says: str) -> None:
    reason, detail = refused(value, headers=headers)
    assert reason == "not_unpacked"
    assert says in detail


def test_what_is_within_is_judged_as_ever() -> None:
    assert refused(gzip.compress(b"{"))[0] == "not_json"
    assert refused(gzip.compress(b""))[0] == "empty"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(encoding: str) -> None:
    assert landed('{"a": "é"}'.encode(encoding)) == '{"a": "é"}'
    assert landed(gzip.compress('{"a": "é"}'.encode(encoding))) == '{"a": "é"}'


def test_an_encoding_may_be_declared_or_be_in_the_content_type() -> None:
    little, big = "[1]".encode("utf-16le"), "[1]".encode("utf-16be")
    assert landed(little, {"json": {"encoding": "utf-16le"}}) == "[1]"
    assert landed(little, headers='{"content_type": "application/json; charset=UTF-16LE"}') == "[1]"
    assert landed(big, headers='{"Content-Type": "application/json;charset=\\"utf-16be\\""}') == "[1]"
    assert landed('"é"'.encode("latin-1"), headers='{"content-type": "x; charset=iso-8859-1"}') == '"é"'
    assert refused('"é"'.encode("latin-1"))[0] == "not_utf8"
    assert "encoding: utf-16le" in refused(little)[1]
    assert "encoding: utf-16be" in refused('["é"]'.encode("utf-16be"))[1]
    assert refused(b"\xff", headers='{"content-type": "x; charset=klingon"}') == (
        "not_utf8", "klingon by its content-type, which is not an encoding that is known",
    )  # fmt: skip


def test_nuls_after_the_text_are_left_out() -> None:
    assert landed(b'{"a": 1}\0') == '{"a": 1}'
    assert landed('{"a": 1}\0'.encode("utf-16")) == '{"a": 1}'
    assert refused(b"\0\0")[0] == "empty"
    assert refused(b'{"a": \0 1}')[0] == "not_json"


def test_bare_text_lands_as_a_string_where_that_is_declared() -> None:
    declared = {"json": {"or_text": True}}
    assert landed(b"offline", declared) == '"offline"'
    assert landed(b'say "hi"\n', declared) == '"say \\"hi\\"\\n"'
    assert landed("é".encode("utf-16"), declared) == '"é"'
    assert landed(b"1.10", declared) == "1.10"
    assert landed(b"1e400", declared) == "1e400"
    assert refused(b"offline")[0] == "not_json"
    assert refused(b"\xff\x01", declared)[0] == "not_utf8"
    assert refused(b"", declared)[0] == "empty"


def test_lines_are_an_array() -> None:
    declared = {"json": {"lines": True}}
    assert landed(b'{"a": 1.10}\r\n\n{"a": 2}\n', declared) == '[{"a": 1.10},{"a": 2}]'
    assert landed(b'{"a": 1}', declared) == '[{"a": 1}]'
    assert landed(b'{\n  "a": 1\n}\n', declared) == '[{\n  "a": 1\n}\n]'
    assert landed(gzip.compress(b"1\n1e400"), declared) == "[1,1e400]"
    assert refused(b"1\n{\n3", declared)[1].startswith("line 2 of 3: ")
    assert refused(b" \n\n", declared) == ("empty", "no line holds anything")
    assert landed(b"1\noff", {"json": {"lines": True, "or_text": True}}) == '[1,"off"]'


def test_a_null_value_is_a_tombstone_whatever_is_declared() -> None:
    for declared in ("json", {"json": {"or_text": True}}, {"json": {"lines": True, "encoding": "utf-16"}}):
        decoded = decode(None, declared, headers=GZIP)
        assert decoded.events["payload"][0].as_py() is None
