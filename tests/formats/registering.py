"""Confluent's own client for tests: it registers schemas and writes values; our decoder reads them."""

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from ingestion.clock import utc_now
from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.formats.decode import Decoded
from ingestion.formats.port import SETTINGS
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.notation import bytes_as_text
from ingestion.settings import Settings
from tests.servers.schema_registry import SchemaRegistry

TOPIC = "orders"
Row = tuple[bytes | None, str | None]
"""A value and its headers as a log has them."""


def client(registry: SchemaRegistry, **options: Any) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": registry.url, **options})


def record(*fields: tuple[str, Any], name: str = "Order", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "shop", **more,
            "fields": [{"name": field, "type": kind} for field, kind in fields]}  # fmt: skip


def avro(
    registry: SchemaRegistry,
    schema: dict[str, Any],
    *,
    references: Any = None,
    topic: str = TOPIC,
    **options: Any,
) -> Callable[[Any], bytes]:
    """Writes values with a schema, which it registers, as Confluent's producers do."""
    said = Schema(json.dumps(schema), "AVRO", references or [])
    write = AvroSerializer(client(registry), said, conf=options)
    return lambda value: write(value, SerializationContext(topic, MessageField.VALUE))  # type: ignore[no-any-return]


def avro_in_header(registry: SchemaRegistry, schema: dict[str, Any]) -> Callable[[Any], Row]:
    """The same with the schema's GUID in a header."""
    said = {"schema.id.serializer": header_schema_id_serializer}
    write = AvroSerializer(client(registry), Schema(json.dumps(schema), "AVRO"), conf=said)

    def made(value: Any) -> Row:
        headers: dict[str, bytes] = {}
        body = write(value, SerializationContext(TOPIC, MessageField.VALUE, headers))
        return body, json.dumps({name: bytes_as_text(each) for name, each in headers.items()})

    return made


def declared(settings: Settings, **said: Any) -> Stream:
    """A stream over the topic, in a system."""
    body = {"name": "orders", "source": {"kafka": TOPIC}} | said
    return Stream.model_validate(body, context={SETTINGS: settings})


def rows(*values: bytes | Row | None, topic: str = TOPIC, keys: tuple[bytes | None, ...] = ()) -> pa.Table:
    each = [value if isinstance(value, tuple) else (value, None) for value in values]
    made = [
        {"source_partition": f"{topic}-0", "position": n, "value": value, "headers": headers,
         "event_key": keys[n] if keys else None}
        for n, (value, headers) in enumerate(each)
    ]  # fmt: skip
    return pa.Table.from_pylist(made, schema=SOURCE_SCHEMA)


def decode(stream: Stream, settings: Settings | None, events: pa.Table) -> Decoded:
    return decoder_of(stream, settings)(
        events, stream=stream.name, batch_id=1, ingested_at=utc_now(), max_bytes=1 << 20
    )


def texts(decoded: Decoded) -> list[Any]:
    """The payloads of values that all land."""
    assert decoded.rejects["detail"].to_pylist() == []
    return [None if text is None else json.loads(text) for text in decoded.events["payload"].to_pylist()]
