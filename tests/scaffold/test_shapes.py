"""The shape of a sample's messages: what is proposed, and why."""

import gzip
import json

import pytest

from ingestion.connectors.messages import Message
from ingestion.declare.sources import read_message
from ingestion.formats.looks import form_of
from ingestion.formats.registry import FORMATS, choose_format
from orchestration.scaffold.propose import propose_fields
from orchestration.scaffold.shapes import Shape, find_unnest, forms, parted


def test_what_stands_round_a_text_is_said() -> None:
    sent = [gzip.compress(b"{}"), "{}".encode("utf-16"), b"{}\0", b"{}"]
    assert [form_of(each, "json") for each in sent] == [
        "gzip", "UTF-16-LE with a byte order mark", "a NUL at its end", "",
    ]  # fmt: skip
    assert forms(sent[:1] * 2, "json") == ["gzip in 2 of 2 messages: that is undone by itself"]
    assert forms([b"{}"], "json") == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_mark_or_a_nul_is_said_only_where_it_is_undone(name: str) -> None:
    """In MessagePack, Avro, CBOR or bytes it is a part of a value; gzip is unpacked for all."""
    texts = {
        "json": "[1]", "csv": "1,2", "tsv": "1\t2", "text": "on", "influx": "a b=1", "xml": "<a/>",
    }  # fmt: skip
    assert form_of(gzip.compress(b"1"), name) == "gzip"
    if name not in texts:
        assert form_of(b"\xff\xfe\0", name) == ""
        return
    chosen, plain = choose_format(name), texts[name]
    sent = [plain.encode(), plain.encode("utf-16"), plain.encode() + b"\0"]
    read = [
        read_message(Message("p", 0, None, each, None, None), chosen, max_bytes=99).payload for each in sent
    ]
    assert len(set(read)) == 1
    assert read[0] is not None
    assert [bool(form_of(each, name)) for each in sent] == [False, True, True]


def test_an_array_of_objects_is_unnested_where_there_is_one() -> None:
    readings = json.dumps({"device": "a", "tags": ["x"], "data": {"readings": [{"v": 1}, {"v": 2}]}})
    assert find_unnest([readings]) == Shape(
        "data.readings", "an array of objects in 1 of 1: each is an event"
    )
    assert find_unnest(['[{"v": 1}]', "[]"]) == Shape(".", "the payload is an array in 2 of 2")
    assert find_unnest(['{"a": 1, "tags": ["x"]}']) == Shape()
    assert find_unnest([readings, '{"a": 1}']) == Shape()
    two = find_unnest(['{"a": [{}], "b": [{}]}'])
    assert (two.value, two.reason) == (
        None, "'a' and 'b' are arrays of objects: --unnest makes the elements of one events",
    )  # fmt: skip


def test_fields_come_from_the_elements_and_from_what_encloses_them() -> None:
    payloads = [json.dumps({"device": f"d{at}", "r": [{"v": 1.5, "a.b": at}, {"v": 2.5}]}) for at in range(3)]
    events = parted([*payloads, '{"device": "x"}'], ("r",))
    assert events.messages == (0, 0, 1, 1, 2, 2)
    fields, notes = propose_fields(events.texts, enclosing=events.enclosing)
    assert [(field.name, field.type, field.path) for field in fields] == [
        ("v", "double", "v"), ("a_b", "bigint", '["a.b"]'), ("device", "varchar", "^.device"),
    ]  # fmt: skip
    assert fields[0].reason == "number in 6 of 6"
    assert notes == ["'[\"a.b\"]' is named a_b: names are lower_snake_case"]
    assert parted(["[1, 2]", "{}"], ()).texts == ("1", "2")
    assert parted(payloads, None).enclosing == ()
