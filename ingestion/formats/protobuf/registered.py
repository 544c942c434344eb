"""Protocol Buffers of a registry: descriptors as it gives them, and which of a file's messages a value is.

After the schema's number a value has the way to its message, as numbers in the file (message indexes).
"""

import base64
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.each import Quick
from ingestion.formats.port import Refusal
from ingestion.formats.protobuf.columns import Columns
from ingestion.formats.protobuf.descriptors import DescriptorsRefused, message_class
from ingestion.formats.protobuf.wire import varint
from ingestion.formats.schema_registry.reading import ReadNamed, SchemaUnusable
from ingestion.formats.schema_registry.registry import Registered
from ingestion.formats.schema_registry.wire import Named

_MOST_LEVELS = 100
ReadMessage = Callable[[bytes, Any], bytes | Refusal]
"""A message's bytes and its class → JSON text, or why there is none."""


def reader_of(schema: Registered, *, read: ReadMessage, reason: str) -> ReadNamed:
    """What reads the values of a schema.

    Args:
        schema: Of the registry.
        read: Reads a message.
        reason: Why a value is refused that says no message of the schema.

    Raises:
        SchemaUnusable: It is not one that values can be read by.
    """
    descriptors, file = _descriptors(schema)
    readers: dict[tuple[int, ...], Callable[[bytes], bytes | Refusal]] = {}

    def one(said: Named) -> bytes | Refusal:
        indexes, at = _indexes(said.rest)
        if indexes is None:
            return Refusal(reason, "after the schema's number no way to a message follows")
        if indexes not in readers:
            try:
                readers[indexes] = partial(_swapped, read, message_class(descriptors, _name(file, indexes)))
            except (DescriptorsRefused, IndexError):
                return Refusal(reason, f"schema {schema.id} has no message {list(indexes)}")
        return readers[indexes](said.rest[at:] if said.value is None else said.value)

    return one


def quick_of(schema: Registered, columns_of: Callable[[Any], Columns | None]) -> Quick | None:
    """What reads many values of one message of a schema at once; None where its descriptors cannot be used.

    Args:
        schema: Of the registry.
        columns_of: The quick way for a message's class.
    """
    try:
        descriptors, file = _descriptors(schema)
    except SchemaUnusable:
        return None  # reader_of says why

    def read(values: pa.Array) -> pa.Array | None:
        first = values[0].as_py() if len(values) else b""
        indexes, at = _indexes(first)
        if indexes is None or not pc.all(pc.starts_with(values, first[:at])).as_py():
            return None
        try:
            columns = columns_of(message_class(descriptors, _name(file, indexes)))
        except (DescriptorsRefused, IndexError):
            return None
        if columns is None:
            return None
        return columns.texts(pa.array([value[at:] for value in values.to_pylist()], pa.binary()))

    return read


def message_of(schema: Registered, name: str | None) -> Any:
    """The class of a message of a schema: a named one, else its first.

    Raises:
        SchemaUnusable: It has none, or is not one that values can be read by.
    """
    descriptors, file = _descriptors(schema)
    try:
        return message_class(descriptors, name or _name(file, (0,)))
    except (DescriptorsRefused, IndexError) as error:
        raise SchemaUnusable(str(error)) from None


def _swapped(read: ReadMessage, of_type: Any, value: bytes) -> bytes | Refusal:
    return read(value, of_type)


def _descriptors(schema: Registered) -> tuple[bytes, Any]:
    """A set of a schema's file and those that it imports, and the file."""
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError

    found = descriptor_pb2.FileDescriptorSet()
    own = schema.id or f"{schema.subject}-{schema.version}"
    for name, text in (*schema.references, ("", schema.text)):
        try:
            file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
        except (ValueError, DecodeError):
            raise SchemaUnusable(
                f"the registry gives '{name or own}' as source text, not as descriptors (?format=serialized)"
            ) from None
        file.name = name or file.name or f"{own}.proto"
        found.file.append(file)
    return found.SerializeToString(), found.file[-1]


def _indexes(value: bytes) -> tuple[tuple[int, ...] | None, int]:
    """Numbers on the way to the message, and where they end; None where there are none."""
    count, at = _zigzag(value, 0)
    if count == 0 and at >= 0:
        return (0,), at
    found = list[int]()
    while at >= 0 and 0 < count <= _MOST_LEVELS and len(found) < count:
        index, at = _zigzag(value, at)
        found.append(index)
    whole = at >= 0 and len(found) == count and min(found, default=-1) >= 0
    return (tuple(found) if whole else None), at


def _zigzag(value: bytes, at: int) -> tuple[int, int]:
    found, end = varint(value, at)
    return (found >> 1) ^ -(found & 1), end


def _name(file: Any, indexes: Sequence[int]) -> str:
    """The full name of a message; raises IndexError where there is none."""
    found = file.message_type[indexes[0]]
    names = [file.package, found.name] if file.package else [found.name]
    for index in indexes[1:]:
        found = found.nested_type[index]
        names.append(found.name)
    return ".".join(names)
