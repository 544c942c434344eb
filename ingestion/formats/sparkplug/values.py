"""Values of Sparkplug B as JSON in which nothing is lost, by the data type that a birth or the message gives.

Signed integers are sent as unsigned ones (two's complement); arrays are packed into bytes (standard, 6.4.17).
"""

import struct
from collections.abc import Iterator
from typing import Any

from ingestion.formats.canonical import base64_text, number
from ingestion.formats.sparkplug.schema import DATATYPES

_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
"""Data type → bits."""
_WIDTHS = {"int_value": 32, "long_value": 64}
_ARRAYS = {22: "b", 23: "h", 24: "i", 25: "q", 26: "B", 27: "H", 28: "I", 29: "Q", 30: "f", 31: "d", 34: "q"}
"""Data type → how struct reads an element."""
_BOOLEANS, _STRINGS = 32, 33


class TooLarge(Exception):
    """The text would be longer than a value may be."""


class Budget:
    """How long a text may become: few bytes of a message may mean many names.

    Args:
        most: Bytes.
    """

    def __init__(self, most: int) -> None:
        self._left = self._most = most

    def spend(self, size: int) -> None:
        """Count so many bytes.

        Raises:
            TooLarge: They are more than are left.
        """
        self._left -= size
        if self._left < 0:
            raise TooLarge

    def check(self, size: int) -> None:
        """Whether a whole text may have so many bytes.

        Raises:
            TooLarge: It may not.
        """
        if size > self._most:
            raise TooLarge


def type_name(datatype: int | None) -> str | int | None:
    """The name of a data type; the number of one that the standard does not have."""
    if datatype is None or datatype >= len(DATATYPES):
        return datatype
    return DATATYPES[datatype]


def value_of(message: Any, datatype: int | None, budget: Budget) -> Any:
    """What a metric, property, parameter or element of a data set holds.

    Args:
        message: It has one of several fields `value`, or none: then it is None.
        datatype: Its number; None where nobody has said it: the value is then as it was sent.
        budget: What is left of the text.

    Raises:
        TooLarge: Nothing is.
        ValueError: Names stand twice, or a text is not UTF-8.
    """
    field = message.WhichOneof("value")
    if field is None:
        return None
    budget.spend(8)
    value = getattr(message, field)
    if field in _WIDTHS:
        return signed(value, _WIDTHS[field], _SIGNED.get(datatype or 0))
    if field in ("float_value", "double_value"):
        return number(value)
    if field == "bytes_value":
        budget.spend(len(value) * 4 // 3)
        return _elements(value, datatype) if datatype is not None and datatype >= 22 else base64_text(value)
    if field == "string_value":
        budget.spend(len(value))
        return value
    if field == "dataset_value":
        return _data_set(value, budget)
    if field == "template_value":
        return _template(value, budget)
    if field == "propertyset_value":
        return properties_of(value, budget)
    if field == "propertysets_value":
        return [properties_of(each, budget) for each in value.propertyset]
    return value


def signed(value: int, width: int, bits: int | None) -> int:
    """An integer that was sent as an unsigned one; one that does not fit its type is as it was sent.

    Args:
        value: As sent.
        width: Bits of the field.
        bits: Bits of the signed type; None for an unsigned one.
    """
    if bits is None:
        return value
    if value < 1 << bits:
        return value - (1 << bits) if value >= 1 << (bits - 1) else value
    if value >= (1 << width) - (1 << (bits - 1)):
        return value - (1 << width)
    return value


def properties_of(found: Any, budget: Budget) -> dict[str, Any]:
    """Properties by their keys, each with its type and its value."""
    keys = list(found.keys)
    if len(set(keys)) < len(keys) or len(keys) != len(found.values):
        raise ValueError(f"{len(keys)} keys of properties, some twice, for {len(found.values)} values")
    said = {}
    for key, each in zip(keys, found.values, strict=True):
        budget.spend(len(key) + 24)
        datatype = each.type if each.HasField("type") else None
        value = None if each.is_null else value_of(each, datatype, budget)
        said[key] = {"type": type_name(datatype), "value": value}
    return said


def metadata_of(found: Any, budget: Budget) -> dict[str, Any]:
    """What was sent of a metric's metadata."""
    said = {field.name: value for field, value in found.ListFields() if not field.is_extension}
    budget.spend(sum(len(name) + 8 for name in said) + found.ByteSize())
    return said


def metric_of(found: Any, name: str | None, datatype: int | None, budget: Budget) -> dict[str, Any]:
    """A metric under a name, by a data type; either may be unknown."""
    budget.spend(130 + len(name or ""))
    said = {
        "name": name,
        "alias": found.alias if found.HasField("alias") else None,
        "datatype": type_name(datatype),
        "timestamp": found.timestamp if found.HasField("timestamp") else None,
        "is_historical": found.is_historical,
        "is_transient": found.is_transient,
        "is_null": found.is_null or found.WhichOneof("value") is None,
        "value": None if found.is_null else value_of(found, datatype, budget),
    }
    if found.HasField("metadata"):
        said["metadata"] = metadata_of(found.metadata, budget)
    if found.HasField("properties"):
        said["properties"] = properties_of(found.properties, budget)
    return said


def _data_set(found: Any, budget: Budget) -> dict[str, Any]:
    types = list(found.types)
    columns = list(found.columns)
    budget.spend(sum(len(name) + 16 for name in columns) + 40 + 8 * len(types))
    rows = []
    for row in found.rows:
        budget.spend(4)
        rows.append(
            [
                value_of(each, types[at] if at < len(types) else None, budget)
                for at, each in enumerate(row.elements)
            ]
        )
    return {"columns": columns, "types": [type_name(each) for each in types], "rows": rows}


def _template(found: Any, budget: Budget) -> dict[str, Any]:
    budget.spend(80)
    return {
        "template_ref": found.template_ref if found.HasField("template_ref") else None,
        "version": found.version if found.HasField("version") else None,
        "is_definition": found.is_definition,
        "parameters": [
            {"name": each.name, "type": type_name(each.type), "value": value_of(each, each.type, budget)}
            for each in _each(found.parameters, budget)
        ],
        "metrics": [
            metric_of(
                each,
                each.name if each.HasField("name") else None,
                each.datatype if each.HasField("datatype") else None,
                budget,
            )
            for each in found.metrics
        ],
    }


def _each(found: Any, budget: Budget) -> Iterator[Any]:
    for each in found:
        budget.spend(40 + len(each.name))
        yield each


def _elements(value: bytes, datatype: int) -> Any:
    """An array that was packed into bytes; base64 where they are not whole elements of its type."""
    if datatype in _ARRAYS:
        size = struct.calcsize(f"<{_ARRAYS[datatype]}")
        if len(value) % size == 0:
            found = struct.unpack(f"<{len(value) // size}{_ARRAYS[datatype]}", value)
            return [number(each) if isinstance(each, float) else each for each in found]
    if datatype == _STRINGS and value.endswith(b"\0"):
        return [each.decode() for each in value[:-1].split(b"\0")]
    if datatype == _BOOLEANS and len(value) >= 4:
        (count,) = struct.unpack_from("<I", value)
        if (count + 7) // 8 == len(value) - 4:
            return [bool(value[4 + at // 8] & 0x80 >> at % 8) for at in range(count)]
    return [] if not value and datatype == _STRINGS else base64_text(value)
