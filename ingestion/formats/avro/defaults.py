"""The defaults of a schema's fields, which are written as Avro's JSON, as our JSON says values."""

from typing import Any

from ingestion.formats.avro.schema import AvroSchema, Mismatch, Node, type_of
from ingestion.formats.avro.unions import branch_name, is_tagged
from ingestion.formats.avro.values import plain


def default_value(node: Node, default: Any, schema: AvroSchema) -> Any:
    """A field's default, which a schema writes as Avro's JSON, as our JSON says the value."""
    node = schema.resolve(node)
    kind = type_of(node)
    if kind == "union":
        for branch in map(schema.resolve, node):  # the first one, by older specifications
            try:
                found = default_value(branch, default, schema)
            except (TypeError, ValueError, KeyError, AttributeError):
                continue
            tagged = type_of(branch) != "null" and is_tagged(node, schema)
            return {branch_name(branch): found} if tagged else found
        raise Mismatch(f"the default {default!r} is of no branch of its union")
    if kind in ("record", "error"):
        return {
            field["name"]: default_value(
                field["type"], default.get(field["name"], field.get("default")), schema
            )
            for field in node["fields"]
        }
    if kind == "array":
        return [default_value(node["items"], each, schema) for each in _of_class(default, list)]
    if kind == "map":
        return {key: default_value(node["values"], each, schema) for key, each in default.items()}
    if kind in ("bytes", "fixed"):
        default = _of_class(default, str).encode("latin-1")
    elif kind in ("float", "double"):
        default = float(default)
    elif kind in _CLASSES:
        default = _of_class(default, _CLASSES[kind])
    function = plain(node)
    return default if function is None else function(default)


_CLASSES: dict[str, type] = {
    "null": type(None), "boolean": bool, "int": int, "long": int, "string": str, "enum": str,
}  # fmt: skip


def _of_class(value: Any, wanted: type) -> Any:
    if type(value) is not wanted:
        raise TypeError(f"{value!r} is not of its type")
    return value
