"""How a value names its schema: by its first bytes, or by a header (Confluent's wire format).

Magic byte 0 and a number of 4 bytes, or magic byte 1 and a GUID of 16: before the value, or in the header.
"""

from collections import Counter
from typing import NamedTuple
from uuid import UUID

import pyarrow as pa

from ingestion.formats.headers import header
from ingestion.log.notation import text_as_bytes

_NUMBER_END, _GUID_END = 5, 17
_IN_HEADERS = b"schema_id"
_VALUE, _KEY = "--value-schema-id", "--key-schema-id"


class NotNamed(ValueError):
    """A value names no schema; says what it does instead."""


class Named(NamedTuple):
    """A value that names its schema.

    Attributes:
        id: A number in digits, or a GUID.
        rest: What follows it where it stands; of Protobuf, which message comes first.
        value: The value, where the schema is named in a header; None: it is the rest.
    """

    id: str
    rest: bytes
    value: bytes | None = None


def named(value: bytes, headers: str | None, *, is_key: bool) -> Named:
    """Which schema a value was written with.

    Args:
        value: As received.
        headers: Those of its event, where one of them may name it; else None.
        is_key: It is a key.

    Raises:
        NotNamed: Neither says it.
    """
    said = header(headers, _KEY if is_key else _VALUE) if headers and "schema_id" in headers else ""
    if said:
        within = _split(text_as_bytes(said))
        if within is None:
            raise NotNamed(
                f"its header {'__key_schema_id' if is_key else '__value_schema_id'} names no schema"
            )
        return Named(within.id, within.rest, value)
    found = _split(value)
    if found is None:
        begin = f"it begins with {value[:_NUMBER_END].hex(' ')}" if value else "it has no bytes"
        raise NotNamed(
            f"{begin}: neither magic byte 0 and the number of a schema, nor a header that names one"
        )
    return found


def may_have_header(events: pa.Table) -> bool:
    """Whether the headers of some events may name schemas: one search in all of them."""
    text = events["headers"].combine_chunks().buffers()[2]
    return text is not None and _IN_HEADERS in text.to_pybytes()


def ids_in(events: pa.Table, *, is_key: bool) -> Counter[str]:
    """Every schema that some events name, in the order in which they come, and how many name it."""
    found = Counter[str]()
    headers = events["headers"].to_pylist() if may_have_header(events) else [None] * events.num_rows
    for value, said in zip(events["value"].to_pylist(), headers, strict=True):
        if value is None:
            continue
        try:
            found[named(value, said, is_key=is_key).id] += 1
        except NotNamed:
            continue
    return found


def _split(value: bytes) -> Named | None:
    if value[:1] == b"\0" and len(value) >= _NUMBER_END:
        return Named(str(int.from_bytes(value[1:_NUMBER_END], "big")), value[_NUMBER_END:])
    if value[:1] == b"\1" and len(value) >= _GUID_END:
        return Named(str(UUID(bytes=value[1:_GUID_END])), value[_GUID_END:])
    return None
