"""For formats that read one value after another: the loop, and what all of them refuse alike."""

from collections.abc import Callable

import orjson
import pyarrow as pa

from ingestion.formats.port import Refusal, Surroundings, Texts
from ingestion.formats.unpack import UNPACKS_TOO_LARGE

_TEXTS_AT_ONCE = 100
"""Kept as Python objects: of more of them, orjson's spare memory costs as much as decoding them."""

Read = Callable[[bytes, str | None], bytes | Refusal]
"""A value and its headers → JSON text, or why there is none."""


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


def array_of(texts: list[bytes]) -> bytes:
    """JSON texts as one JSON array."""
    return b"[" + b",".join(texts) + b"]"


def as_json(value: object) -> bytes:
    """A value of dicts, lists, texts and numbers as JSON."""
    return orjson.dumps(value)
