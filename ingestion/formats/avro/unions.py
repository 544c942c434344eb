"""Unions in JSON: a value alone where it shows which branch it is, else under the branch's name."""

from collections.abc import Sequence

from ingestion.formats.avro.schema import AvroSchema, Node, type_of, without_null
from ingestion.formats.avro.values import logical

_NUMBERS = ("int", "long", "float", "double")


def is_tagged(branches: Sequence[Node], schema: AvroSchema) -> bool:
    """Whether JSON of a union's values names the branch: where it could not be known from the value.

    Numbers are one kind here: their digits say all that the branch does.
    """
    kinds, numbers = [], set()
    for branch in without_null(branches):
        node = schema.resolve(branch)
        if type_of(node) in _NUMBERS and logical(node) is None:
            numbers |= {"number", "text"} if type_of(node) in ("float", "double") else {"number"}
        else:
            kinds.append(_json_kinds(node))
    kinds.append(numbers)
    return sum(map(len, kinds)) > len(set().union(*kinds))


def _json_kinds(node: Node) -> set[str]:
    """What a value of a type may be in JSON."""
    kind = type_of(node)
    if logical(node) is not None and kind in ("int", "long"):
        return {"text", "number"}
    if kind == "fixed":
        return {"object"} if node.get("logicalType") == "duration" and logical(node) else {"text"}
    others = {"boolean": "boolean", "array": "array", "map": "object", "record": "object", "error": "object"}
    return {others.get(kind, "text")}


def branch_name(node: Node) -> str:
    """What names a branch: a named type's full name, else the type's word."""
    return str(node["name"]) if isinstance(node, dict) and "name" in node else type_of(node)
