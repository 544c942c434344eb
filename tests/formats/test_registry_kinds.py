"""JSON Schema and Protocol Buffers in a registry, as Confluent's serializers write them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import header_schema_id_serializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ingestion.declare.stream import Stream
from ingestion.formats.likeness import Sample
from ingestion.formats.recognise import Recognised, recognise
from ingestion.formats.schema_registry.kinds import SchemaKinds
from ingestion.settings import Settings, load_settings
from tests.formats.registering import avro, avro_in_header, client, declared, decode, record, rows, texts
from tests.servers.ports import free_ports
from tests.servers.schema_registry import SchemaRegistry

_FIELD = descriptor_pb2.FieldDescriptorProto
SCHEMA = {
    "title": "Order", "type": "object",
    "properties": {
        "id": {"type": "integer", "description": "Which order."},
        "at": {"type": "string", "format": "date-time"},
        "note": {"oneOf": [{"type": "null"}, {"type": "string"}]},
        "cents": {"type": ["number", "null"]},
        "items": {"type": "array", "items": {"type": "string"}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    server = SchemaRegistry(tmp_path_factory.mktemp("registry"), first_id=300).start()
    yield server
    server.stop()


@pytest.fixture
def at(tmp_path: Path, registry: SchemaRegistry) -> Settings:
    return load_settings(project=tmp_path, data_dir=tmp_path / "data", schema_registry_url=registry.url)


def of(kind: str, at: Settings, **options: Any) -> Stream:
    return declared(at, source={"kafka": kind}, format={kind: {"schema": "prefix"} | options})


def place(kind: str, headers: dict[str, bytes] | None = None) -> SerializationContext:
    """Each kind has a topic of its own, so that the latest version is of that kind."""
    return SerializationContext(kind, MessageField.VALUE, headers)


def test_json_is_what_follows_the_name_of_its_schema(at: Settings, registry: SchemaRegistry) -> None:
    sent = {"id": 7, "at": "2026-03-01T08:30:00Z", "note": None, "cents": 1.5, "items": ["a"]}
    value = JSONSerializer(json.dumps(SCHEMA), client(registry))(sent, place("json"))
    assert value[:1] == b"\0"
    stream = of("json", at)
    decoded = decode(stream, at, rows(value, None, value[:5] + b"{", b'{"id": 8}'))
    assert [json.loads(text) if text else None for text in decoded.events["payload"].to_pylist()] == [
        sent,
        None,
    ]
    assert decoded.events["payload_raw"].to_pylist() == [value, None], "the text is not the bytes"
    assert decoded.rejects["reason"].to_pylist() == ["not_json", "not_json"]
    assert "it begins with 7b 22" in decoded.rejects["detail"][1].as_py()
    types = {name: field.type for name, field in stream.fields.items()}
    assert types == {
        "id": "bigint", "at": "timestamp", "note": "varchar", "cents": "double", "items": "json",
    }  # fmt: skip


def test_json_beside_a_header_is_its_bytes(at: Settings, registry: SchemaRegistry) -> None:
    headers: dict[str, bytes] = {}
    options = {"schema.id.serializer": header_schema_id_serializer}
    value = JSONSerializer(json.dumps(SCHEMA), client(registry), conf=options)(
        {"id": 7}, place("json", headers)
    )
    said = json.dumps({name: "\\x" + each.hex() for name, each in headers.items()})
    decoded = decode(of("json", at), at, rows((value, said)))
    assert texts(decoded) == [{"id": 7}]
    assert decoded.events["payload_raw"].to_pylist() == [None]


def messages() -> dict[str, Any]:
    """Two files, of which one imports the other, with a message within a message."""
    money = descriptor_pb2.FileDescriptorProto(name="shop/money.proto", package="shop", syntax="proto3")
    money.message_type.add(name="Money").field.add(name="cents", number=1, type=_FIELD.TYPE_INT64, label=1)
    order = descriptor_pb2.FileDescriptorProto(
        name="shop/order.proto", package="shop", syntax="proto3", dependency=["shop/money.proto"]
    )
    order.message_type.add(name="Other").field.add(name="text", number=1, type=_FIELD.TYPE_STRING, label=1)
    whole = order.message_type.add(name="Order")
    whole.field.add(name="id", number=1, type=_FIELD.TYPE_INT64, label=1)
    whole.field.add(name="price", number=2, type=_FIELD.TYPE_MESSAGE, type_name=".shop.Money", label=1)
    line = whole.nested_type.add(name="Line")
    line.field.add(name="slot", number=1, type=_FIELD.TYPE_INT32, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(money)
    pool.Add(order)
    names = ("shop.Money", "shop.Other", "shop.Order", "shop.Order.Line")
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(n)) for n in names}


def test_protobuf_finds_its_message_and_what_it_imports(at: Settings, registry: SchemaRegistry) -> None:
    known = messages()
    options = {"use.deprecated.format": False}

    def write(name: str, **said: Any) -> bytes:
        of_type = known[name]
        made: bytes = ProtobufSerializer(of_type, client(registry), options)(
            of_type(**said), place("protobuf")
        )
        return made

    other, line = write("shop.Other", text="x"), write("shop.Order.Line", slot=4)
    order = write("shop.Order", id=7, price=known["shop.Money"](cents=150))
    stream = of("protobuf", at, message="shop.Order")
    found = texts(decode(stream, at, rows(other, order, line)))
    assert found == [{"text": "x"}, {"id": 7, "price": {"cents": 150}}, {"slot": 4}]
    assert {name: field.type for name, field in stream.fields.items()} == {"id": "bigint", "price": "json"}
    lost = order[:5] + b"\x02\x12" + order[7:]  # the tenth message, which there is not
    decoded = decode(stream, at, rows(lost, order[:5], order[:5] + b"\xff" * 12))
    assert decoded.rejects["reason"].to_pylist() == ["not_protobuf"] * 3
    assert "has no message [9]" in decoded.rejects["detail"][0].as_py()


def test_a_schema_of_another_kind_says_so(at: Settings, registry: SchemaRegistry) -> None:
    value = avro(registry, record(("id", "long"), name="Strange"))({"id": 1})
    decoded = decode(declared(at, format={"json": {"schema": "prefix"}}, fields={}), at, rows(value))
    assert decoded.rejects["reason"].to_pylist() == ["unusable_schema"]
    assert "is of kind AVRO, not JSON" in decoded.rejects["detail"][0].as_py()


def written(registry: SchemaRegistry) -> dict[str, bytes]:
    """A value of each kind, as Confluent's serializers write it."""
    of_type = messages()["shop.Order"]
    write = ProtobufSerializer(of_type, client(registry), {"use.deprecated.format": False})
    return {
        "avro": avro(registry, record(("id", "long"), name="Seen"))({"id": 7}),
        "json": JSONSerializer(json.dumps(SCHEMA), client(registry))({"id": 7}, place("json")),
        "protobuf": write(of_type(id=7), place("protobuf")),
    }


def recognised(settings: Settings, *samples: Sample) -> Recognised:
    found = recognise(samples, kinds=SchemaKinds(settings))
    assert found is not None
    return found


def test_the_registry_says_which_format_a_value_is_of(at: Settings, registry: SchemaRegistry) -> None:
    for name, value in written(registry).items():
        found = recognised(at, Sample(value), Sample(value))
        choice = found.choice()
        assert choice is not None
        assert choice.declared() == {name: {"schema": "prefix"}}
        assert found.sentence == (
            f"the name of a schema that the registry has as {name.upper()} in 2 of 2 messages"
        )
    value, headers = avro_in_header(registry, record(("id", "long"), name="Beside"))({"id": 7})
    assert value is not None
    beside = recognised(at, Sample(value, headers)).choice()
    assert beside is not None
    assert beside.declared() == {"avro": {"schema": "prefix"}}


def test_why_the_registry_does_not_say_it_is_said(
    at: Settings, registry: SchemaRegistry, tmp_path: Path
) -> None:
    sample = Sample(written(registry)["json"])
    unknown = recognised(at, Sample(b"\0\0\x01\0\0" + sample.value[5:]))
    assert (unknown.name, unknown.choice()) == ("json", None)
    assert "the schema registry does not know schema 65536: register it" in unknown.sentence
    nowhere = load_settings(project=tmp_path, data_dir=tmp_path / "none")
    assert "set MILLRACE_SCHEMA_REGISTRY_URL" in recognised(nowhere, sample).sentence
    assert "--format '{json: {schema: prefix}}'" in recognised(nowhere, sample).sentence
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    away = load_settings(project=tmp_path, data_dir=tmp_path / "away", schema_registry_url=url)
    assert f"the schema registry gives no answer ({url} does not answer" in recognised(away, sample).sentence
    assert recognised(away, sample).choice() is None
    # Values that name none of its schemas are recognised without it.
    assert recognised(away, Sample(b'{"a": 1}')).sentence == "JSON in the message"
    assert recognised(at, Sample(b"\xff\xd8\xff\xe0")).name == "binary"
