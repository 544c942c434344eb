"""The quick way for flat records: bytes → columns by pyruhvro (Rust), columns → JSON text by Arrow.

It says what the way of whole.py says, to the byte, or nothing: then the events are read one by one. It is
for schemas without nesting, read as they were written, for values that are written in the shortest form and
end where their record ends, and for bytes without a fault. tests/formats/test_avro_columns.py compares both.
"""

from functools import lru_cache, reduce
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.avro.mapping import converter
from ingestion.formats.avro.schema import AvroSchema, type_of, without_null
from ingestion.formats.avro.values import Convert
from ingestion.formats.json_columns import Part, joined, json_parts

# `bytes` and `fixed` are not there: pyruhvro 0.4.0 has no columns for them, and panics.
_WIRE = {
    "boolean": "boolean",
    "int": "long",  # the same bytes; what an int cannot hold is seen
    "long": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "enum": "long",
}
_SIZES = {"boolean": 1, "float": 4, "double": 8}
_LONGEST = 10
"""Bytes of a number; one so long may be too large for 64 bits."""


class _Column(NamedTuple):
    """A field: where its text begins, its type's word, whether it may be null, its values' function."""

    prefix: str
    kind: str
    nullable: bool
    convert: Convert | None


class Columns:
    """Reads values of one schema; made by `columns_of`."""

    def __init__(self, schema: str, columns: tuple[_Column, ...]) -> None:
        self._schema, self._columns = schema, columns

    def texts(self, values: pa.Array) -> pa.Array | None:
        """The JSON text of each value.

        Args:
            values: Binary, without nulls.

        Returns:
            Strings, as many; None where the values have to be read one by one.
        """
        from pyruhvro import deserialize_array

        if not len(values):
            return pa.array([], pa.string())
        try:
            batch = deserialize_array(values.to_pylist(), self._schema)
            if not self._is_whole(batch, values):
                return None
            parts = [
                part
                for column, array in zip(self._columns, batch.columns, strict=True)
                for part in (column.prefix, *_parts(array, column))
            ]
        except BaseException as error:  # the other way has the reason
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of Rust
                raise
            return None
        return joined([*parts, "}"], null="null")

    def _is_whole(self, batch: pa.RecordBatch, values: pa.Array) -> bool:
        """Whether each value is as long as its fields, and no text is damaged."""
        batch.validate(full=True)
        fixed, sizes = 0, []
        for column, array in zip(self._columns, batch.columns, strict=True):
            found = _sizes(array, column.kind)
            if found is None:
                return False
            fixed += found[0] + column.nullable  # which member of the union it is, takes a byte
            sizes += found[1]
        whole = reduce(pc.add, sizes, pa.scalar(fixed, pa.int32()))
        return bool(pc.all(pc.equal(whole, pc.binary_length(values))).as_py())


@lru_cache(maxsize=64)
def columns_of(writer: AvroSchema, reader: AvroSchema) -> Columns | None:
    """The quick way for a pair of schemas; None where there is none, or pyruhvro is not installed."""
    if writer != reader or writer.is_recursive or type_of(writer.root) not in ("record", "error"):
        return None
    try:
        import pyruhvro  # noqa: F401 - whether it is there
    except ImportError:
        return None
    fields = writer.root["fields"]
    if not fields or len({field["name"] for field in fields}) < len(fields):
        return None
    columns: list[_Column] = []
    wire: list[dict[str, Any]] = []
    for number, field in enumerate(fields):
        node = writer.resolve(field["type"])
        nullable = isinstance(node, list)
        if nullable and (len(node) != 2 or len(without_null(node)) != 1):
            return None
        inner = writer.resolve(without_null(node)[0]) if nullable else node
        kind = type_of(inner)
        if kind not in _WIRE:
            return None
        prefix = f"{',' if number else '{'}{orjson.dumps(field['name']).decode()}:"
        columns.append(_Column(prefix, kind, nullable, _function(writer, number)))
        plain = _WIRE[kind]
        types = [plain if type_of(each) != "null" else "null" for each in node] if nullable else plain
        wire.append({"name": f"f{number}", "type": types})
    schema = orjson.dumps({"type": "record", "name": "t", "fields": wire}).decode()
    return Columns(schema, tuple(columns))


def _function(schema: AvroSchema, number: int) -> Convert | None:
    """What whole.py makes of one field's value: the function of a record of this field alone."""
    field = schema.root["fields"][number]
    alone = AvroSchema(
        f"{schema.text}#{number}", {**schema.root, "fields": [field]}, schema.names, None, False, False
    )
    whole = converter(alone, alone)
    name = field["name"]
    return None if whole is None else lambda value: whole({name: value})[name]


def _sizes(array: pa.Array, kind: str) -> tuple[int, list[pa.Array]] | None:
    """How many bytes values take: so many each, and what is to be added; None where that is not certain."""
    one = (0, [array.is_valid().cast(pa.int32())]) if array.null_count else (1, [])
    if kind in _SIZES:
        return one[0] * _SIZES[kind], [pc.multiply(there, _SIZES[kind]) for there in one[1]]
    if kind == "string":
        lengths = pc.fill_null(pc.binary_length(array), 0)
        # Its length goes first: a number with a sign's bit, which it does not need.
        return one[0], [*one[1], lengths, *_over(lengths, range(6, 32, 7))]
    zigzag = pc.bit_wise_xor(pc.shift_left(array, 1), pc.shift_right(array, 63)).view(pa.uint64())
    further = _over(pc.fill_null(zigzag, 0), range(7, 64, 7))
    return None if len(further) == _LONGEST - 1 else (one[0], [*one[1], *further])


def _over(numbers: pa.Array, bits: range) -> list[pa.Array]:
    """For each further byte that some of them take in Avro's notation, 1 for those, else 0."""
    most = pc.max(numbers).as_py() or 0
    return [
        pc.greater_equal(numbers, pa.scalar(1 << each, numbers.type)).cast(pa.int32())
        for each in bits
        if most >= 1 << each
    ]


def _parts(array: pa.Array, column: _Column) -> tuple[Part, ...]:
    """Of a column's values as JSON text."""
    if column.convert is None or column.kind in ("float", "double"):
        return json_parts(array)
    return (pa.array([orjson.dumps(column.convert(value)) for value in array.to_pylist()], pa.string()),)
