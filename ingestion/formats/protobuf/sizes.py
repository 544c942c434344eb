"""How long messages are that hold some values and nothing else: has a reader of columns passed over bytes?

Of a value nobody writes fewer bytes than its shortest form takes, so a message of just this length holds each
field once, in that form, and no other bytes. The notation: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Types by their numbers in descriptor.proto: the library is an extra, and may not be there.
_DOUBLE, _FLOAT, _INT32, _FIXED64, _FIXED32, _BOOL, _STRING = 1, 2, 5, 6, 7, 8, 9
_BYTES, _ENUM, _SFIXED32, _SFIXED64, _SINT32, _SINT64 = 12, 14, 15, 16, 17, 18
_FIXED = {
    _BOOL: 1,
    _FIXED32: 4,
    _SFIXED32: 4,
    _FLOAT: 4,
    _FIXED64: 8,
    _SFIXED64: 8,
    _DOUBLE: 8,
}
_SHORTENED = {_INT32, _ENUM}
"""Some write a negative one of these in five bytes, where its form takes ten."""
_ZIGZAG = {_SINT32, _SINT64}
_BITS = range(7, 64, 7)


def are_whole(values: pa.Array, fields: Iterable[Any], columns: Iterable[pa.Array]) -> bool:
    """Whether messages hold what was read of them and no more; False also where that is not certain.

    Args:
        values: The messages: binary, without nulls.
        fields: Their type's descriptors of fields, each a single number, text, bytes or an enum.
        columns: What was read, in the order of the fields; null for what is not there.
    """
    fixed, sizes = 0, []
    for field, column in zip(fields, columns, strict=True):
        found = _sizes(field, column)
        if found is None:
            return False
        head = _varint(field.number << 3) + found[0]
        there = column.is_valid() if field.has_presence else _differs(field, column)
        if pc.all(there).as_py():
            fixed += head
        else:
            sizes.append(pc.multiply(there.cast(pa.int32()), head))
        sizes += found[1]
    whole = reduce(pc.add, sizes, pa.scalar(fixed, pa.int32()))
    return bool(pc.all(pc.equal(whole, pc.binary_length(values))).as_py())


def _sizes(field: Any, column: pa.Array) -> tuple[int, list[pa.Array]] | None:
    """What each value takes that is there, and what is to be added: 0 for one that is not."""
    if field.type in _FIXED:
        return _FIXED[field.type], []
    if field.type in (_STRING, _BYTES):
        lengths = pc.fill_null(pc.binary_length(column), 0)
        return 1, [lengths, *_over(lengths)]
    if field.type in _SHORTENED and (pc.min(column).as_py() or 0) < 0:
        return None
    numbers = pc.fill_null(column, 0)
    if numbers.type != pa.uint64():
        numbers = numbers.cast(pa.int64())
        if field.type in _ZIGZAG:
            numbers = pc.bit_wise_xor(pc.shift_left(numbers, 1), pc.shift_right(numbers, 63))
        numbers = numbers.view(pa.uint64())
    return 1, _over(numbers)


def _over(numbers: pa.Array) -> list[pa.Array]:
    """For each further byte that some of them take, 1 for those, else 0."""
    most = pc.max(numbers).as_py() or 0
    return [
        pc.greater_equal(numbers, pa.scalar(1 << bits, numbers.type)).cast(pa.int32())
        for bits in _BITS
        if most >= 1 << bits
    ]


def _differs(field: Any, column: pa.Array) -> pa.Array:
    """Where a field without presence is written: where it is not its type's zero."""
    if field.type in (_STRING, _BYTES):
        return pc.greater(pc.binary_length(column), 0)
    return column if field.type == _BOOL else pc.not_equal(column, pa.scalar(0, column.type))


def _varint(number: int) -> int:
    return max(1, -(-number.bit_length() // 7))
