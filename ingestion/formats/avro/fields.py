"""The fields that a record's schema declares, as streams.yml would: path, type, doc."""

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
    if type_of(root) != "record":
        return ()
    return tuple(
        SchemaField(field["name"], _type(field["type"], schema), " ".join(str(field.get("doc", "")).split()))
        for field in root["fields"]
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
