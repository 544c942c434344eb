"""The fields that a record's schema declares, as streams.yml would: path, type, doc."""

from collections.abc import Sequence
from typing import Any

from ingestion.formats.avro.schema import AvroSchema, Node, type_of, without_null
from ingestion.formats.avro.unions import is_tagged
from ingestion.formats.avro.values import logical
from ingestion.formats.port import SchemaField

_TYPES = {
    "boolean": "boolean", "int": "integer", "long": "bigint", "float": "double", "double": "double",
    "string": "varchar", "enum": "varchar", "bytes": "varchar", "fixed": "varchar", "null": "varchar",
}  # fmt: skip
_MOST_DIGITS = 38


def fields_of(schema: AvroSchema) -> tuple[SchemaField, ...]:
    """One for each field of the record; none where the schema is of something else."""
    root = schema.resolve(schema.root)
    return _fields(root, schema) if type_of(root) == "record" else ()


def fields_within(schema: AvroSchema, steps: Sequence[str]) -> tuple[SchemaField, ...] | None:
    """The fields of a record inside; arrays on the way stand for their items.

    Args:
        schema: Of a value.
        steps: The names of the fields that lead there.

    Returns:
        Nothing where there is no such field; None where no single record is there.
    """
    node = _record(schema.root, schema)
    for step in steps:
        if node is None:
            return None
        found = next((field["type"] for field in node["fields"] if field["name"] == step), None)
        if found is None:
            return ()
        node = _record(found, schema)
    return None if node is None else _fields(node, schema)


def _record(node: Node, schema: AvroSchema) -> dict[str, Any] | None:
    """The record that a value is, or each item of it, if it is not null."""
    node = schema.resolve(node)
    while type_of(node) in ("array", "union"):
        if isinstance(node, list):
            branches = without_null(node)
            if len(branches) != 1:
                return None
            node = schema.resolve(branches[0])
        else:
            node = schema.resolve(node["items"])
    return node if type_of(node) == "record" else None


def _fields(record: Node, schema: AvroSchema) -> tuple[SchemaField, ...]:
    return tuple(
        SchemaField(field["name"], _type(field["type"], schema), " ".join(str(field.get("doc", "")).split()))
        for field in record["fields"]
    )


def _type(node: Node, schema: AvroSchema) -> str:
    node = schema.resolve(node)
    if isinstance(node, list):
        return _union_type(node, schema)
    if logical(node) is None:
        return _TYPES.get(type_of(node), "json")
    word = node["logicalType"]
    if word == "decimal":
        digits, scale = node["precision"], node.get("scale", 0)
        return f"decimal({digits},{scale})" if scale <= digits <= _MOST_DIGITS else "varchar"
    if word == "duration":
        return "json"
    if word == "date":
        return "date"
    return "timestamp" if "timestamp" in word else "varchar"


def _union_type(branches: list[Node], schema: AvroSchema) -> str:
    """That of the values, where one type holds them all."""
    types = {_type(branch, schema) for branch in without_null(branches)}
    if is_tagged(branches, schema):
        return "json"
    if len(types) < 2:
        return next(iter(types), "varchar")
    if types <= {"integer", "bigint"}:
        return "bigint"
    return "double" if types == {"integer", "double"} else "json"
