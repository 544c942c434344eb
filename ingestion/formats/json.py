"""JSON: the bytes are the text, where they parse (RFC 8259; UTF-8 only, no NaN, at most 1,024 levels).

A number may be of any size: what a type can hold of it is decided field by field, by dbt.
"""

import re
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.port import Refusal, Texts

_STRING_OR_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
    rb"|(?<![\w.+-])-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![\w.+-])",
    re.DOTALL,
)
"""Whole strings, so that what looks like a number within one stays; else whole, well-formed numbers."""


@dataclass(frozen=True)
class JsonFormat:
    """JSON text as it came, byte by byte."""

    name: str = "json"
    reasons: frozenset[str] = frozenset({"empty", "not_utf8", "not_json"})
    keeps_bytes: bool = False
    libraries: tuple[str, ...] = ("orjson",)
    extra: str = ""

    def texts(self, events: pa.Table) -> Texts:
        """Parse each value, and keep those that parse as they are."""
        values = events["value"].combine_chunks()
        refused = _find_refused(values)
        if refused:
            bad = pc.is_in(pa.array(range(len(values)), pa.int64()), value_set=pa.array(refused, pa.int64()))
            values = pc.if_else(bad, pa.scalar(None, pa.binary()), values)
        return Texts(values.cast(pa.string()), refused)


def _find_refused(values: pa.BinaryArray) -> dict[int, Refusal]:
    refused: dict[int, Refusal] = {}
    loads = orjson.loads
    for index, value in enumerate(values.to_pylist()):
        if value is None:
            continue
        try:
            loads(value)
        except orjson.JSONDecodeError as error:
            if "infinity" not in str(error) or not _is_json_but_for_sizes(value):
                refused[index] = Refusal(_reason(value), str(error))
    return refused


def _is_json_but_for_sizes(value: bytes) -> bool:
    """Whether it parses once its numbers fit a double: orjson takes no 1e400."""
    try:
        orjson.loads(_STRING_OR_NUMBER.sub(_smaller, value))
    except orjson.JSONDecodeError:
        return False
    return True


def _smaller(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"0"


def _reason(value: bytes) -> str:
    if not value.strip():
        return "empty"
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8"
    return "not_json"


JSON = JsonFormat()
