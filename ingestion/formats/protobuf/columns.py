"""The quick way for flat messages: bytes → columns by ptars (Rust), columns → JSON text by Arrow.

It says what flat.py says of each message, to the byte, or nothing: then the values are read one by one, and
what is wrong with one of them is said there. tests/formats/test_protobuf_columns.py compares both.

ptars 0.0.25 passes over groups that do not end. So where messages are longer than what was read of them,
protobuf's own parser says whether they are messages, which takes a fifth of the time. ptars keeps all members
of a oneof where only the last one sent holds: such types have no quick way.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.json_columns import Part, joined, json_parts
from ingestion.formats.protobuf.flat import flat
from ingestion.formats.protobuf.sizes import are_whole


class _Column(NamedTuple):
    """A field: its name as JSON with a colon, whether it may be absent, and the names of an enum's values."""

    prefix: str
    optional: bool
    names: Mapping[int, str] | None


class Columns:
    """Reads messages of one type; made by `columns_of`."""

    def __init__(self, of_type: Any, handler: Any, columns: Sequence[_Column]) -> None:
        self._parse: Callable[[bytes], Any] = of_type.FromString
        self._fields = tuple(of_type.DESCRIPTOR.fields)
        self._handler, self._columns = handler, tuple(columns)

    def texts(self, values: pa.Array) -> pa.Array | None:
        """The JSON text of each value.

        Args:
            values: Binary, without nulls.

        Returns:
            Strings, as many; None where the values have to be read one by one.
        """
        if not len(values):
            return pa.array([], pa.string())
        try:
            batch = self._handler.array_to_record_batch(values)
            batch.validate(full=True)
            if not are_whole(values, self._fields, batch.columns):
                deque(map(self._parse, values.to_pylist()), maxlen=0)
            return self._joined(batch.columns)
        except BaseException as error:  # the other way has the reason
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of Rust
                raise
            return None

    def _joined(self, arrays: Sequence[pa.Array]) -> pa.Array:
        """Objects of those fields that are there, in order."""
        parts: list[Part] = ["{"]
        begun: Any = False  # whether a field is written before this one: in each, in none, or an array
        for column, array in zip(self._columns, arrays, strict=True):
            texts = json_parts(array) if column.names is None else (_names(array, column.names),)
            comma = ("," if begun else "") if isinstance(begun, bool) else pc.if_else(begun, ",", "")
            if not column.optional:
                parts += [comma, column.prefix, *texts]
                begun = True
                continue
            parts.append(joined([comma, column.prefix, *texts], null=None))
            there = array.is_valid()
            begun = there if begun is False else begun is True or pc.or_(begun, there)
        return joined([*parts, "}"], null="")


@lru_cache(maxsize=64)
def columns_of(of_type: Any) -> Columns | None:
    """The quick way for a message's class; None where its type is not flat, or ptars is not installed."""
    described = of_type.DESCRIPTOR
    if flat(described) is None or any(len(each.fields) > 1 for each in described.oneofs):
        return None
    try:
        from ptars import HandlerPool
    except ImportError:
        return None
    columns = [
        _Column(
            f"{orjson.dumps(field.name).decode()}:",
            field.has_presence,
            None if field.enum_type is None
            else {value: f'"{each.name}"' for value, each in field.enum_type.values_by_number.items()},
        )
        for field in described.fields
    ]  # fmt: skip
    return Columns(of_type, HandlerPool([described.file]).get_for_message(described), columns)


def _names(array: pa.Array, names: Mapping[int, str]) -> pa.Array:
    """An enum's values by their names, or as the numbers that have none."""
    values = array.to_pylist()
    return pa.array(
        [None if value is None else names.get(value) or str(value) for value in values], pa.string()
    )
