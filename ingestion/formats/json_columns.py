"""Columns of Arrow → JSON texts, as orjson writes each value; for formats that read columns."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.canonical import base64_text, number

Part: TypeAlias = "str | pa.Array"
"""Of a text: what stands in each, or what differs (strings, or booleans without nulls)."""
_ESCAPED = bytes([*range(0x20), ord('"'), ord("\\")])


def json_parts(array: pa.Array) -> tuple[Part, ...]:
    """The parts of each value's JSON text; where it is null, one of them is.

    Args:
        array: Booleans, integers, floating point numbers, strings or binary.

    Returns:
        For `joined`; of them, arrays are as long as the given one.
    """
    if pa.types.is_boolean(array.type) and not array.null_count:
        return (array,)
    if pa.types.is_floating(array.type):
        return (_numbers(array),)
    if pa.types.is_string(array.type):
        text = array.buffers()[2] or b""  # of all values together; none is cut in UTF-8
        if len(bytes(text).translate(None, _ESCAPED)) < len(text):
            return (_each(array, orjson.dumps),)
        return (joined(['"', array, '"'], null=None),) if array.null_count else ('"', array, '"')
    if pa.types.is_binary(array.type):
        return (_each(array, lambda value: f'"{base64_text(value)}"'),)
    return (array.cast(pa.string()),)


def joined(parts: Iterable[Part], *, null: str | None) -> pa.Array:
    """Texts of their parts.

    Args:
        parts: In order, an array among them.
        null: Stands for a part that is null; None: then the whole text is.

    Returns:
        Strings.
    """
    waiting, pieces = deque(_merged(parts)), list[Part]()
    while waiting:
        piece = waiting.popleft()
        if isinstance(piece, pa.BooleanArray):
            # A piece costs as much as the next one, however short: the texts beside this one go into it.
            before = pieces.pop() if pieces and isinstance(pieces[-1], str) else ""
            after = waiting.popleft() if waiting and isinstance(waiting[0], str) else ""
            piece = pc.if_else(piece, f"{before}true{after}", f"{before}false{after}")
        pieces.append(piece)
    if null is None:
        return pc.binary_join_element_wise(*pieces, "")
    return pc.binary_join_element_wise(*pieces, "", null_handling="replace", null_replacement=null)


def _merged(parts: Iterable[Part]) -> list[Part]:
    """The parts, with texts that follow each other as one."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _numbers(array: pa.Array) -> pa.Array:
    """Floating point numbers; Arrow writes them otherwise."""
    values = array.to_pylist()
    if not pc.all(pc.is_finite(array)).as_py():
        values = [value if value is None else number(value) for value in values]
    # Texts among them are NaN and infinities, which have no comma.
    texts = pc.split_pattern(pa.array([orjson.dumps(values)[1:-1]], pa.string()), ",").flatten()
    return pc.if_else(array.is_valid(), texts, None) if array.null_count else texts


def _each(array: pa.Array, text_of: Callable[[Any], str | bytes]) -> pa.Array:
    return pa.array([None if value is None else text_of(value) for value in array.to_pylist()], pa.string())
