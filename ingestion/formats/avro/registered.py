"""Avro schemas of a registry: with what they refer to as one text, and what reads their values."""

from typing import Any

import orjson

from ingestion.formats.avro.columns import columns_of
from ingestion.formats.avro.schema import AvroSchema, Mismatch, SchemaRefused, parse, type_of
from ingestion.formats.avro.unions import branch_name
from ingestion.formats.avro.whole import refusal, whole_of
from ingestion.formats.each import Quick
from ingestion.formats.port import Refusal, Surroundings
from ingestion.formats.schema_registry.choice import Place, Strategy, own_schema
from ingestion.formats.schema_registry.reading import QuickOf, ReaderOf, ReadNamed, SchemaUnusable
from ingestion.formats.schema_registry.registry import Registered
from ingestion.formats.schema_registry.wire import Named


def reader_of(place: Place, strategy: Strategy, around: Surroundings) -> ReaderOf:
    """Makes what reads the values of a schema.

    Args:
        place: `prefix`: as they were written; else resolved to the latest version, or to a subject's.
        strategy: Under which subjects the senders register.
        around: What surrounds the values.
    """

    def made(schema: Registered, topic: str) -> ReadNamed:
        writer, reader = _pair(schema, topic, place, strategy, around)
        try:
            whole = whole_of(writer, reader)
        except Mismatch as error:
            raise SchemaUnusable(f"its values are not those of the stream's schema: {error}") from None

        def read(said: Named) -> bytes | Refusal:
            try:
                return whole(said.rest if said.value is None else said.value)
            except Exception as error:  # hostile bytes raise whatever the reader of their type does
                return refusal(error)

        return read

    return made


def quick_of(place: Place, strategy: Strategy, around: Surroundings) -> QuickOf:
    """Makes what reads many values of a schema at once, where that can be; the arguments are reader_of's."""

    def made(schema: Registered, topic: str) -> Quick | None:
        try:
            columns = columns_of(*_pair(schema, topic, place, strategy, around))
        except SchemaUnusable:
            return None  # reader_of says why
        return None if columns is None else columns.texts

    return made


def _pair(
    schema: Registered, topic: str, place: Place, strategy: Strategy, around: Surroundings
) -> tuple[AvroSchema, AvroSchema]:
    """The schema by which values were written, and the one by which they are read."""
    writer = registered(schema)
    if place == "prefix":
        return writer, writer
    name = branch_name(writer.resolve(writer.root))
    own = own_schema(place, strategy, around, topic=topic, record=name)
    return writer, registered(own) if own else writer


def registered(schema: Registered) -> AvroSchema:
    """A schema with all that it refers to.

    Raises:
        SchemaUnusable: It is not an Avro schema that values can be read by.
    """
    try:
        return parse(_one_text(schema))
    except (SchemaRefused, orjson.JSONDecodeError) as error:
        raise SchemaUnusable(str(error)) from None


def _one_text(schema: Registered) -> str:
    """The text with the definition of each named type that stands elsewhere, where it is first named."""
    if not schema.references:
        return schema.text
    elsewhere = dict[str, Any]()
    for _, text in schema.references:
        document = orjson.loads(text)
        if isinstance(document, dict) and "name" in document:
            elsewhere[_full_name(document, "")] = document
    return orjson.dumps(_with(orjson.loads(schema.text), "", elsewhere)).decode()


def _with(node: Any, space: str, left: dict[str, Any]) -> Any:
    """A part of a schema with those definitions that are still left, each of which is used once."""
    if isinstance(node, str):
        name = next((each for each in (node, f"{space}.{node}") if each in left), None)
        if name is None:
            return node
        definition = left.pop(name)
        return _with({**definition, "name": name, "namespace": name.rpartition(".")[0]}, "", left)
    if isinstance(node, list):
        return [_with(each, space, left) for each in node]
    if not isinstance(node, dict):
        return node
    if "name" in node and type_of(node) in ("record", "error", "enum", "fixed"):
        space = _full_name(node, space).rpartition(".")[0]
    made = dict(node)
    for key in ("type", "items", "values"):
        if key in made:
            made[key] = _with(made[key], space, left)
    if isinstance(made.get("fields"), list):
        made["fields"] = [_with(field, space, left) for field in made["fields"]]
    return made


def _full_name(node: dict[str, Any], space: str) -> str:
    name, space = str(node["name"]), str(node.get("namespace", space) or "")
    return name if "." in name or not space else f"{space}.{name}"
