"""For formats that read one value after another: the loop, and what all of them refuse alike."""

from collections.abc import Callable

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.port import Refusal, Surroundings, Texts
from ingestion.formats.unpack import UNPACKS_TOO_LARGE

_TEXTS_AT_ONCE = 100
"""Kept as Python objects: of more of them, orjson's spare memory costs as much as decoding them."""

_ROWS_AT_ONCE = 32_000
"""Read the quick way together: of fewer of them, calling Arrow costs a fifth of reading them."""
_ROWS_NEAR_A_FAULT = 2_000
"""Of so many the others are read one by one, too."""
Read = Callable[[bytes, str | None], bytes | Refusal]
"""A value and its headers → JSON text, or why there is none."""

Quick = Callable[[pa.Array], pa.Array | None]
"""Values without nulls → JSON text of each; None where one of them has to be read by itself."""


def read_each(events: pa.Table, around: Surroundings, read: Read) -> Texts:
    """Decode some events one by one; a null value stays null.

    Args:
        events: Rows of SOURCE_SCHEMA.
        around: Limits; a text that is longer is refused.
        read: Raises nothing.
    """
    columns: list[pa.Array] = [pa.array([], pa.binary())]
    payload: list[bytes | None] = []
    refused: dict[int, Refusal] = {}
    values, headers = events["value"].to_pylist(), events["headers"].to_pylist()
    for row, (value, said) in enumerate(zip(values, headers, strict=True)):
        found = None if value is None else read(value, said)
        if isinstance(found, bytes) and len(found) > around.max_bytes:
            found = Refusal(
                UNPACKS_TOO_LARGE,
                f"{len(found)} bytes as JSON text, the limit is {around.max_bytes} bytes",
            )
        if isinstance(found, Refusal):
            refused[row], found = found, None
        payload.append(found)
        if len(payload) == _TEXTS_AT_ONCE:
            columns.append(pa.array(payload, pa.binary()))
            payload = []
    columns.append(pa.array(payload, pa.binary()))
    return Texts(pa.concat_arrays(columns).cast(pa.string()), refused)


def read_quickly(
    events: pa.Table, around: Surroundings, quick: Quick, read: Read, *, at_once: int = _ROWS_AT_ONCE
) -> Texts:
    """Decode some events many at a time; those around one that the quick way cannot read, one by one.

    Args:
        events: Rows of SOURCE_SCHEMA.
        around: Limits.
        quick: The quick way.
        read: The other one (read_each).
        at_once: Rows that are tried together.
    """
    payload: list[pa.Array] = []
    refused: dict[int, Refusal] = {}
    for begin in range(0, len(events), at_once):
        some = events.slice(begin, at_once)
        text = _quick(some["value"].combine_chunks(), around, quick)
        if text is None:
            if at_once > _ROWS_NEAR_A_FAULT:
                texts = read_quickly(some, around, quick, read, at_once=_ROWS_NEAR_A_FAULT)
            else:
                texts = read_each(some, around, read)
            text = texts.payload
            refused |= {begin + row: why for row, why in texts.refused.items()}
        payload.append(text)
    if len(payload) == 1:  # nearly always: of one nothing has to be copied
        return Texts(payload[0], refused)
    return Texts(pa.concat_arrays([pa.array([], pa.string()), *payload]), refused)


def _quick(values: pa.Array, around: Surroundings, quick: Quick) -> pa.Array | None:
    """The texts, null for a null value; None where they have to be read one by one."""
    texts = quick(values.drop_null())
    if texts is None or (pc.max(pc.binary_length(texts)).as_py() or 0) > around.max_bytes:
        return None
    if not values.null_count:
        return texts
    return pc.replace_with_mask(pa.nulls(len(values), pa.string()), values.is_valid(), texts)


def array_of(texts: list[bytes]) -> bytes:
    """JSON texts as one JSON array."""
    return b"[" + b",".join(texts) + b"]"


def as_json(value: object) -> bytes:
    """A value of dicts, lists, texts and numbers as JSON."""
    return orjson.dumps(value)
