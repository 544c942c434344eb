"""The fields of a message, as streams.yml would declare them: path, type."""

from collections.abc import Sequence
from typing import Any

from ingestion.formats.port import SchemaField

_SCALARS = {
    "bool": "boolean", "string": "varchar", "bytes": "varchar", "enum": "varchar",
    "float": "double", "double": "double",
    "int32": "integer", "sint32": "integer", "sfixed32": "integer", "uint32": "bigint", "fixed32": "bigint",
    "int64": "bigint", "sint64": "bigint", "sfixed64": "bigint",
    "uint64": "decimal(20,0)", "fixed64": "decimal(20,0)",
}  # fmt: skip
_WORDS = (
    "", "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group",
    "message", "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64",
)  # fmt: skip
"""By the number of descriptor.proto's FieldDescriptorProto.Type."""
_MESSAGES = {"google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "varchar",
             "google.protobuf.FieldMask": "varchar"}  # fmt: skip
_WRAPPERS = frozenset(
    f"google.protobuf.{each}Value" for each in
    ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)  # fmt: skip


def fields_of(message: Any) -> tuple[SchemaField, ...]:
    """One for each field of a message's descriptor."""
    return tuple(SchemaField(field.name, _type(field)) for field in message.fields)


def fields_within(message: Any, steps: Sequence[str]) -> tuple[SchemaField, ...] | None:
    """The fields of a message inside, or of each of several.

    Args:
        message: The descriptor of a value.
        steps: The names of the fields that lead there.

    Returns:
        Nothing where there is no such field; None where it is not a message with fields of its own.
    """
    for step in steps:
        field = message.fields_by_name.get(step)
        if field is None:
            return ()
        message = field.message_type
        if message is None or message.full_name in _MESSAGES or is_wrapper(message):
            return None
        if message.GetOptions().map_entry:
            return None
    return fields_of(message)


def is_wrapper(message: Any) -> bool:
    """Whether a message is one of Google's wrappers of a single value."""
    return message.full_name in _WRAPPERS


def _type(field: Any) -> str:
    if field.is_repeated:
        return "json"
    message = field.message_type
    if message is None:
        return _SCALARS[_WORDS[field.type]]
    if is_wrapper(message):
        return _type(message.fields[0])
    return _MESSAGES.get(message.full_name, "json")
