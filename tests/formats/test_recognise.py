"""Samples say which format they are of, and why; never with confidence what they are not."""

import gzip
import json
from io import BytesIO
from typing import Any

import cbor2
import fastavro
import msgpack
import pytest
from google.transit import gtfs_realtime_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.connectors.messages import Message
from ingestion.declare.sources import read_message
from ingestion.formats.likeness import GUESS, Likeness, Sample
from ingestion.formats.recognise import MOST_SAMPLES, Recognised, recognise
from ingestion.formats.registry import FORMATS, find_format
from tests.formats.reading import read
from tests.repository import REPOSITORY

DATA = REPOSITORY.parent / "shared" / "data"
SURE = 0.5
"""From here on somebody may rely on an answer."""


def look(*values: bytes, headers: str | None = None) -> Recognised:
    found = recognise([Sample(value, headers) for value in values])
    assert found is not None
    return found


def container(*records: Any) -> bytes:
    file = BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": "v", "type": "double"}]}
    fastavro.writer(file, schema, [{"v": each} for each in records])
    return file.getvalue()


def transit(number: int) -> bytes:
    message = gtfs_realtime_pb2.FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.timestamp = 1_700_000_000 + number
    message.entity.add(id=str(number)).vehicle.position.latitude = 48.5
    message.entity[0].vehicle.position.longitude = 9.5
    whole: bytes = message.SerializeToString()
    return whole


SYSLOG = b"<34>1 2003-10-11T22:14:15.003Z host su - ID47 - hi"
EXAMPLES: tuple[tuple[Any, list[bytes], str], ...] = (
    ("json", [b'{"a": 1}', b"[2]"], "JSON in 2 of 2 messages"),
    ("json", [b"21.5", b"22"], "JSON, but single numbers, texts or words, in 2 of 2 messages"),
    ({"json": {"lines": True}}, [b'{"v": 1}\n{"v": 2}\n', b"1"], "several lines of JSON in 2 of 2 messages"),
    (
        {"json": {"or_text": True}}, [b"{}", b"offline"],
        "JSON or text in 2 of 2 messages; text that is not JSON in 1 of 2, as 'offline'",
    ),
    ("json", [gzip.compress(b'{"a": 1}', mtime=0), '{"a": 2}'.encode("utf-16")], "JSON in 2 of 2 messages"),
    ("avro", [container(1.5), container(2.5)],
     "Avro's object container magic 'Obj\\x01' at the beginning, and the schema after it,"),
    ("cbor", [cbor2.dumps({"a": [1.5]}), cbor2.dumps({"b": 1})],
     "whole CBOR maps, whose names are words, in 2 of 2 messages"),
    ("cbor", [cbor2.dumps({1: 2, -1: b"x"})], "whole CBOR maps, some with numbers as names, in the message"),
    ("cbor", [cbor2.dumps(["aa", 1])], "whole CBOR arrays or maps in the message"),
    ("cbor", [cbor2.dumps(cbor2.CBORTag(55799, [1]))], "CBOR's own mark d9 d9 f7 at the"),
    ("msgpack", [msgpack.dumps({"a": {"b": 1}})],
     "whole MessagePack maps, whose names are words, in the message"),
    ("xml", [b"<a/>", b"<?xml version='1.0'?><a>1</a>"],
     "whole XML documents in 2 of 2 messages; the first one's root is 'a'"),
    ({"xml": {"record": "orders/order"}},
     [b"<orders><order/><order/></orders>", b"<orders><order/></orders>"],
     "whole XML documents in 2 of 2 messages; the first one's root is 'orders'"),
    ({"xml": {"arrays": ["order/item"]}},
     [b"<order id='1'><item/><item/></order>", b"<order><item/></order>"],
     "whole XML documents in 2 of 2 messages"),
    ({"xml": {"arrays": ["orders/order"]}},
     [b"<orders><order/><order/></orders>", b"<orders/>"], "whole XML documents in 2 of 2 messages"),
    ("syslog", [SYSLOG, b"50 " + SYSLOG],
     "the priority, version and time with which syslog (RFC 5424) begins, as '<34>1 2026-…'"),
    ("influx", [b"w,at=x t=1.5 1465839830100400200"],
     "points of InfluxDB's line protocol, 'name,tag=a field=1 time', in the message"),
    ({"influx": {"lines": True}}, [b"w t=1\nw t=2\n", b"w t=1"],
     "points of InfluxDB's line protocol, 'name,tag=a field=1 time', in 2 of 2 messages"),
    ({"csv": {"columns": ["column_1", "column_2"]}}, [b"kitchen,21.5", b"bath,"],
     "2 values with commas between them in 2 of 2 messages; nothing names the columns"),
    ({"csv": {"columns": ["room", "celsius"]}}, [b"room,celsius", b"kitchen,21.5", b"bath,22"],
     "2 values with commas between them in 3 of 3 messages; one of them has the names"),
    ({"csv": {"columns": ["column_1", "column_2"], "lines": True}}, [b"kitchen,21.5\nbath,22\n"],
     "2 values with commas between them in the message; nothing names the columns"),
    ({"csv": {"header": True, "delimiter": ";"}}, [b"room;celsius\nkitchen;21,5\nbath;22\n"],
     "2 values with semicolons between them in the message; the first line has the names"),
    ({"tsv": {"columns": ["column_1", "column_2"]}}, [b"a, b\t1", b'"c\td"\t2'],
     "2 values with tabs between them in 2 of 2 messages; nothing names the columns"),
    ("text", [b"pump 3: on", b"Hello, world"], "text without another format's structure in 2 of 2 messages"),
    ("text", [b"2026-11-27 06:00:00,123 INFO started", b"2026-11-27 06:00:01,456 INFO went on"],
     "text without another format's structure in 2 of 2 messages"),
    ("binary", [b"\xff\xd8\xff\xe0\0\x10JFIF", b"\x89PNG\r\n"], "bytes that no other format"),
)  # fmt: skip


@pytest.mark.parametrize(("declared", "values", "reason"), EXAMPLES, ids=lambda each: str(each)[:40])
def test_a_format_is_recognised_with_what_reads_it(declared: Any, values: list[bytes], reason: str) -> None:
    found = look(*values)
    choice = found.choice()
    assert choice is not None
    assert choice.declared() == declared
    assert found.likeness.reason.startswith(reason)
    assert found.likeness.confidence >= (SURE if choice.name not in ("text", "binary", "cbor") else 0)
    for value in values if choice.name != "json" else ():  # raw keeps no JSON's bytes
        read(declared, value)


@pytest.mark.parametrize(
    ("name", "value", "needs"),
    [
        ("protobuf", transit(1), "it is a guess, and bytes show no names: give the schema, as in --form"),
        ("avro", b"\xc3\x01" + bytes(range(8)) + b"\x02", "the schema with fingerprint 0001020304050607"),
        ("avro", b"\0\0\0\0\x07\x06abc\xff", "its schema is in a schema registry"),
        ("json", b'\0\0\0\0\x07{"a": 1}', "its schema is in a schema registry"),
    ],
)  # fmt: skip
def test_what_no_bytes_show_is_asked_for(name: str, value: bytes, needs: str) -> None:
    found = look(value)
    assert (found.name, found.choice()) == (name, None)
    assert needs in found.sentence


def test_every_format_is_among_them() -> None:
    shown = {declared if isinstance(declared, str) else next(iter(declared)) for declared, _, _ in EXAMPLES}
    by_more_than_bytes = {"protobuf", "sparkplug"}
    assert shown | by_more_than_bytes == set(FORMATS)


def test_damaged_texts_are_not_taken_for_plain_ones() -> None:
    assert recognise([Sample(b'{"a": 1')]) is None
    assert recognise([Sample(b""), Sample(b" \n")]) is None
    # Text without an end of its own is JSON's or XML's matter, not a stream of texts.
    assert look(b'{"a": 1}', b'{"a": ').likeness.confidence == SURE * 0.9
    assert look(b"<?xml version='1.0'?><!DOCTYPE a><a/>").name == "xml"


def test_little_noise_is_said_and_changes_nothing() -> None:
    found = look(*[b"{}"] * 19, b"offline")
    assert found.choice() is not None
    assert found.likeness.options == {}
    assert found.likeness.note == (
        "text that is not JSON in 1 of 20, as 'offline': --format '{json: {or_text: true}}' lands it, too"
    )


def test_a_format_whose_library_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.formats.recognise.installed", lambda libraries: [
        each for each in libraries if each != "cbor2"
    ])  # fmt: skip
    found = look(cbor2.dumps({"a": 1}))
    assert (found.name, found.not_asked) == ("binary", ("cbor (extra cbor)",))


def test_only_some_of_many_are_looked_at() -> None:
    assert f"in {MOST_SAMPLES} of {MOST_SAMPLES} messages" in look(*[b"{}"] * 1000).sentence


_names = st.text("abcdefgh_", min_size=1, max_size=8)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts
)
_documents = st.dictionaries(
    _names,
    st.recursive(
        _scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
        max_leaves=5,
    ),
    min_size=1,
    max_size=4,
)
WRITERS = {"json": lambda each: json.dumps(each).encode(), "cbor": cbor2.dumps, "msgpack": msgpack.dumps}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(documents=st.lists(_documents, min_size=1, max_size=5))
def test_records_are_recognised_as_what_wrote_them(name: str, documents: list[Any]) -> None:
    assert look(*map(WRITERS[name], documents)).name == name


_digits = st.floats(-1e6, 1e6).map(lambda each: f"{each:.3f}") | st.integers(-999, 9999).map(str)
_words = st.text("abcdefgh xyz", min_size=1, max_size=8).filter(str.strip)


@pytest.mark.parametrize(("name", "mark"), [("csv", ","), ("csv", ";"), ("csv", "|"), ("tsv", "\t")])
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(_words, _digits, _digits), min_size=2, max_size=6))
def test_measurements_between_marks_are_recognised(name: str, mark: str, rows: list[tuple[str, ...]]) -> None:
    found = look(*[mark.join(row).encode() for row in rows])
    choice = found.choice()
    assert choice is not None
    assert (found.name, choice.options.model_dump()["columns"]) == (
        name,
        ("column_1", "column_2", "column_3"),
    )
    whole = look("\n".join(mark.join(row) for row in [("a", "b", "c"), *rows]).encode()).choice()
    assert whole is not None
    assert (whole.name, whole.options.model_dump()["header"]) == (name, True)


@given(values=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4))
def test_what_is_sure_of_random_bytes_reads_them(values: list[bytes]) -> None:
    found = recognise([Sample(value) for value in values])
    if found is None or found.likeness.confidence < SURE:
        return
    choice = found.choice()
    if choice is not None:
        # What says of itself what it is, as '<?xml' does, need not be whole.
        there = [value for value in values if value.strip() and b"<?xml" not in value]
        seen = [
            read_message(Message("", 0, None, each, None, None), choice, max_bytes=1000) for each in there
        ]
        assert sum(not each.reason for each in seen) >= found.likeness.confidence * len(there)


@given(value=st.binary(min_size=1, max_size=60), name=st.sampled_from(sorted(FORMATS)))
def test_no_format_raises_whatever_it_is_shown(value: bytes, name: str) -> None:
    said = find_format(name).recognise([Sample(value), Sample(value[::-1] or b"x")])
    assert said is None or (isinstance(said, Likeness) and 0 < said.confidence <= 1 and said.reason)


@pytest.mark.skipif(not DATA.exists(), reason="the data folder is not here")
@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("avro/*.avro", "avro"), ("avro/*.bin", "avro"), ("avro/*.avsc", "json"), ("avro/*.json", "json"),
        ("gtfs-realtime/*.pb", "protobuf"), ("nab/*.csv", "csv"), ("*/README.md", "text"),
    ],
)  # fmt: skip
def test_files_of_others(pattern: str, name: str) -> None:
    files = sorted(DATA.glob(pattern))
    assert files
    for file in files:
        assert look(file.read_bytes()).name == name, file
    if name == "csv":  # a line a message, as a device sends it
        found = look(*files[0].read_bytes().splitlines()[:100])
        assert found.likeness.options == {"columns": ["timestamp", "value"]}


def test_messages_of_protocol_buffers_are_a_guess_that_grows() -> None:
    one, three = look(transit(1)), look(transit(1), transit(2), transit(3))
    assert one.likeness.confidence < GUESS < three.likeness.confidence < SURE
    assert "with the fields 1, 2 in 3 of 3 messages" in three.sentence
