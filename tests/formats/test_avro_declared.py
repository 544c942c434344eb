"""Avro in streams.yml: fields that come from the schema, and mistakes with their line."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingestion import libraries
from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.formats.port import FOLDER
from ingestion.formats.registry import choose_format
from tests.formats.avro_bytes import declare
from tests.repository import REPOSITORY

_LOGICAL: dict[str, Any] = {
    "date": {"type": "int", "logicalType": "date"},
    "at": {"type": "long", "logicalType": "local-timestamp-micros"},
    "price": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "huge": {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 2},
    "daytime": {"type": "int", "logicalType": "time-millis"},
}


def fields(schema: Any, folder: Path) -> dict[str, tuple[str, str]]:
    declared = {"name": "s", "source": {"kafka": "s"}, "format": declare(folder, schema)}
    stream = Stream.model_validate(declared, context={FOLDER: folder})
    return {name: (field.path, field.type) for name, field in stream.fields.items()}


def test_fields_that_are_left_out_come_from_the_schema(tmp_path: Path) -> None:
    (tmp_path / "streams.yml").write_text(
        "orders:\n  source: {kafka: orders}\n  format: {avro: {schema: {file: schemas/orders.avsc}}}\n"
        "  business_id: order_id\n"
    )
    (tmp_path / "schemas").mkdir()
    text = (REPOSITORY / "tests" / "formats" / "orders.avsc").read_text()
    (tmp_path / "schemas" / "orders.avsc").write_text(text)
    (stream,) = load_streams(tmp_path / "streams.yml")
    assert [(name, field.path, field.type) for name, field in stream.fields.items()] == [
        ("order_id", "orderId", "varchar"),
        ("cents", "cents", "bigint"),
        ("note", "note", "varchar"),
    ]
    # A copy of the file elsewhere, as a running system keeps one, finds the schema in the project.
    copy = tmp_path / "run" / "in_use.yml"
    copy.parent.mkdir()
    copy.write_text((tmp_path / "streams.yml").read_text())
    assert load_streams(copy, project=tmp_path) == (stream,)
    assert stream.format.declared() == {"avro": {"schema": {"file": "schemas/orders.avsc"}}}


def test_a_changed_schema_is_another_declaration(tmp_path: Path) -> None:
    found = []
    for kind in ("int", "long"):
        declared = declare(tmp_path, {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]})
        found.append(choose_format(declared, tmp_path))
    assert found[0] != found[1]


def test_types_and_names_of_fields(tmp_path: Path) -> None:
    types: dict[str, Any] = _LOGICAL | {
        "orderID": "string", "HTTPCode": "int", "_x": ["null", "double"], "position": "long",
        "either": ["int", "long"], "mixed": ["string", "bytes"], "list": {"type": "array", "items": "int"},
        "flag": "boolean", "inner": {"type": "record", "name": "I", "fields": []},
    }  # fmt: skip
    record = {"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in types.items()]}
    assert fields(record, tmp_path) == {
        "date": ("date", "date"),
        "at": ("at", "timestamp"),
        "price": ("price", "decimal(9,2)"),
        "huge": ("huge", "varchar"),
        "daytime": ("daytime", "varchar"),
        "order_id": ("orderID", "varchar"),
        "http_code": ("HTTPCode", "integer"),
        "x": ("_x", "double"),
        "payload_position": ("position", "bigint"),
        "either": ("either", "bigint"),
        "mixed": ("mixed", "json"),
        "list": ("list", "json"),
        "flag": ("flag", "boolean"),
        "inner": ("inner", "json"),
    }
    assert fields({"type": "array", "items": "int"}, tmp_path) == {}


def test_fields_that_are_declared_count_alone(tmp_path: Path) -> None:
    declared = {
        "name": "s", "source": {"kafka": "s"}, "fields": {"cents": "integer"},
        "format": {"avro": {"schema": {"file": "orders.avsc"}}},
    }  # fmt: skip
    stream = Stream.model_validate(declared, context={FOLDER: REPOSITORY / "tests" / "formats"})
    assert list(stream.fields) == ["cents"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "{avro: {schema: {file: no.avsc}}}",
            "no.avsc cannot be read (No such file or directory); 'file' is",
        ),
        (
            "{avro: {schema: {file: bad.avsc}}}",
            "bad.avsc is not an Avro schema that can be used: Unknown",
        ),
        (
            "{avro: {schema: {file: text.avsc}}}",
            "text.avsc is not an Avro schema that can be used: JSON",
        ),
        (
            "{avro: {schema: {file: endless.avsc}}}",
            "an array of values that take no bytes may have any",
        ),
        ("{avro: {schema: {fil: x}}}", "unknown key 'fil'"),
        ("{avro: {former: [bad.avsc]}}", "bad.avsc is not an Avro schema"),
        ("{avro: {encoding: bare}}", "only containers carry a schema: name one"),
        ("{avro: {encoding: json}}", "'bare', 'single_object' or 'container'"),
        ("{avro: {scheme: x}}", "unknown key 'scheme'; did you mean 'schema'?"),
    ],
)
def test_a_mistake_is_shown_with_its_line(tmp_path: Path, said: str, words: str) -> None:
    (tmp_path / "bad.avsc").write_text('{"type": "reccord"}')
    (tmp_path / "text.avsc").write_text("syntax = proto3")
    (tmp_path / "endless.avsc").write_text(json.dumps({"type": "array", "items": "null"}))
    file = tmp_path / "streams.yml"
    file.write_text(f"orders:\n  source: {{kafka: orders}}\n  format: {said}\n")
    with pytest.raises(ConfigError) as error:
        load_streams(file)
    assert str(error.value).startswith("streams.yml line 3, stream 'orders': ")
    assert words in str(error.value)


def test_without_fastavro_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    file = tmp_path / "streams.yml"
    file.write_text("orders:\n  source: {kafka: orders}\n  format: avro\n")
    with pytest.raises(ConfigError) as error:
        load_streams(file)
    assert str(error.value) == (
        "streams.yml line 3, stream 'orders': streams of format 'avro' need the package fastavro: "
        "install 'millrace-lakehouse[avro]'"
    )
