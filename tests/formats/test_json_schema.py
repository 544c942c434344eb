"""JSON Schema: fields and descriptions that come from one, and payloads that violate it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ingestion import libraries
from ingestion.connectors.messages import Message
from ingestion.declare.file import load_streams
from ingestion.declare.sources import Seen, read_message
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.formats.json_schema import JsonSchemaFile
from ingestion.formats.port import FOLDER
from ingestion.formats.registry import FormatChoice, choose_format

ORDER: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["orderId", "lines"],
    "properties": {
        "orderId": {"type": "string", "pattern": "^o-", "description": "Names the\n  order."},
        "orderedAt": {"type": "string", "format": "date-time", "title": "When"},
        "day": {"type": ["string", "null"], "format": "date"},
        "amount": {"type": "number", "multipleOf": 0.01, "minimum": 0},
        "weight": {"type": "number"},
        "count": {"type": "integer", "maximum": 100},
        "serial": {"type": "integer", "maximum": 18446744073709551615},
        "state": {"enum": ["open", "sent", None]},
        "paid": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/flag"}]},
        "either": {"type": ["integer", "number"]},
        "mixed": {"type": ["integer", "string"]},
        "anything": True,
        "elsewhere": {"$ref": "common.json#/$defs/any"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "integer"}}}},
    },
    "allOf": [{"properties": {"note": {"type": "string"}}}],
    "$defs": {"flag": {"type": "boolean", "description": "Whether it was paid."}},
}
COMMON = {"$defs": {"any": {"type": "string", "maxLength": 3}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "order.json").write_text(json.dumps(ORDER))
    (tmp_path / "common.json").write_text(json.dumps(COMMON))
    return tmp_path


def choose(folder: Path, **options: Any) -> FormatChoice:
    return choose_format({"json": {"schema": {"file": "order.json"}, **options}}, folder)


def see(choice: FormatChoice, value: bytes) -> Seen:
    return read_message(Message("log-0", 0, None, value, None, None), choice, max_bytes=1 << 20)


def test_fields_that_are_left_out_come_from_the_schema(folder: Path) -> None:
    (folder / "streams.yml").write_text(
        "orders:\n  source: {kafka: orders}\n  format: {json: {schema: {file: order.json}}}\n"
        "  business_id: [order_id]\n"
    )
    (stream,) = load_streams(folder / "streams.yml")
    assert {name: (field.path, field.type) for name, field in stream.fields.items()} == {
        "note": ("note", "varchar"), "order_id": ("orderId", "varchar"),
        "ordered_at": ("orderedAt", "timestamp"),
        "day": ("day", "date"), "amount": ("amount", "decimal(38,2)"), "weight": ("weight", "double"),
        "count": ("count", "bigint"), "serial": ("serial", "decimal(38,0)"), "state": ("state", "varchar"),
        "paid": ("paid", "boolean"), "either": ("either", "double"), "mixed": ("mixed", "varchar"),
        "anything": ("anything", "json"), "elsewhere": ("elsewhere", "json"), "lines": ("lines", "json"),
    }  # fmt: skip
    described = {name: field.description for name, field in stream.fields.items() if field.description}
    assert described == {
        "order_id": "Names the order.", "ordered_at": "When", "paid": "Whether it was paid.",
    }  # fmt: skip
    assert stream.format.declared() == {"json": {"schema": {"file": "order.json"}}}


def test_a_schema_of_an_array_declares_the_fields_of_its_elements(folder: Path) -> None:
    schema = {
        "type": "array",
        "items": {"$ref": "#/$defs/r"},
        "$defs": {"r": {"properties": {"v": {"type": "number"}}}},
    }
    (folder / "order.json").write_text(json.dumps(schema))
    declared = {"json": {"schema": {"file": "order.json"}}}
    stream = Stream.model_validate(
        {"name": "s", "source": {"kafka": "s"}, "format": declared, "unnest": "."}, context={FOLDER: folder}
    )
    assert {name: field.type for name, field in stream.fields.items()} == {"v": "double"}


def test_what_violates_it_is_refused_with_place_and_reason(folder: Path) -> None:
    choice = choose(folder, validate=True)
    kept = b'{"orderId": "o-1",  "lines": [], "amount": 0.07}'
    assert see(choice, kept).payload == kept.decode()
    for value, detail in (
        (b'{"lines": []}', 'the payload: "orderId" is a required property'),
        (b'{"orderId": "x", "lines": []}', 'at orderId: "x" does not match "^o-"'),
        (
            b'{"orderId": "o-1", "lines": [{"q": 1}, {"q": "2"}]}',
            'at lines[1].q: "2" is not of type "integer"',
        ),
        (b'{"orderId": "o-1", "lines": [], "count": 1e400}', "at count: "),
        (b'{"orderId": "o-1", "lines": [], "elsewhere": "long"}', 'at elsewhere: "long" is longer than 3'),
        (b'{"orderId": 1, "lines": 1, "count": 101, "state": 1, "paid": 1}', "; 2 more"),
    ):
        seen = see(choice, value)
        assert (seen.payload, seen.reason) == (None, "violates_schema"), value
        assert detail in seen.detail
        assert see(choose(folder), value).payload == value.decode()  # where nobody asked for it
    assert see(choice, b"{").reason == "not_json"


def test_each_line_keeps_to_it_and_text_that_is_allowed_need_not(folder: Path) -> None:
    good = b'{"orderId": "o-1", "lines": []}'
    choice = choose(folder, validate=True, lines=True)
    assert see(choice, good + b"\n" + good).payload is not None
    assert see(choice, good + b'\n{"orderId": 1}').detail.startswith("line 2 of 2: ")
    assert see(choice, b'{"orderId": "o-1",\n "lines": []}').payload is not None
    assert see(choice, b'{"orderId": "o-1",\n "lines": 7}').reason == "not_json"
    assert see(choose(folder, validate=True, or_text=True), b"offline").payload == '"offline"'


def test_a_schema_that_cannot_be_used_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, said in (
        ('{"type": "strin"}', "cannot be validated by"),
        ('{"$ref": "http://127.0.0.1:1/x.json"}', "is not beside the schema, and nothing is fetched"),
        ('{"$ref": "../x.json"}', "is not beside the schema, and nothing is fetched"),
        ('{"$ref": "gone.json"}', "No such file"),
        ("[]", "is not a JSON Schema"),
        ("{", "is not JSON"),
    ):
        (folder / "order.json").write_text(text)
        with pytest.raises(ValidationError) as error:
            choose(folder, validate=True)
        assert said in str(error.value), text
    (folder / "streams.yml").write_text(
        "orders:\n  source: {kafka: orders}\n  format: {json: {validate: true}}\n  fields: {a: double}\n"
    )
    with pytest.raises(ConfigError, match=r"line 3.*'validate' needs a schema: name one"):
        load_streams(folder / "streams.yml")
    (folder / "order.json").write_text("{}")
    monkeypatch.setattr(libraries, "find_spec", lambda name: None if name == "jsonschema_rs" else name)
    with pytest.raises(ValidationError, match=r"install 'millrace-lakehouse\[jsonschema\]'"):
        choose(folder, validate=True)


def test_a_schema_that_refers_to_itself_ends(folder: Path) -> None:
    (folder / "order.json").write_text('{"properties": {"a": {"$ref": "#"}}, "$ref": "#"}')
    choice = choose(folder, validate=True)
    deep = b'{"a": ' * 900 + b"1" + b"}" * 900
    assert see(choice, deep).payload == deep.decode()
    schema = JsonSchemaFile.model_validate({"file": str(folder / "order.json")})
    assert schema.fields() == ()


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
_keywords = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array", "integer", "number", "string", ["string", "null"]]),
        "minimum": st.integers(-3, 3),
        "maxLength": st.integers(0, 3),
        "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
        "properties": st.dictionaries(st.sampled_from("abc"), st.just({"type": "integer"}), max_size=2),
        "items": st.sampled_from([True, False, {"type": "number"}, {"minLength": 1}]),
        "enum": st.lists(_values, min_size=1, max_size=3),
        "minItems": st.integers(0, 2),
    },
)


@settings(max_examples=60, deadline=None)
@given(schema=_keywords, value=_values)
def test_it_judges_as_the_reference_does(
    tmp_path_factory: pytest.TempPathFactory, schema: dict[str, Any], value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "schema.json"
    path.write_text(json.dumps(schema))
    choice = choose_format({"json": {"schema": {"file": str(path)}, "validate": True}})
    sent = orjson.dumps(value)
    seen = see(choice, sent)
    assert (seen.payload is not None) == jsonschema.Draft202012Validator(schema).is_valid(json.loads(sent))
    assert bool(seen.detail) == (seen.payload is None)
