"""JSON: the bytes are the text, where they parse (RFC 8259; no NaN, at most 1,024 levels).

A number may be of any size: what a type can hold of it is decided field by field, by dbt.
What does not parse as it came is looked at again: byte order marks, other encodings, NULs, bare text.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.json_options import JsonOptions
from ingestion.formats.json_schema import JsonSchemaFile
from ingestion.formats.likeness import CERTAIN, LIKELY, STRUCTURE, Likeness, Sample, likeness
from ingestion.formats.looks import count_lines, is_bare_text
from ingestion.formats.port import VIOLATES_SCHEMA, FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.prefix import after_prefix, likeness_of_prefix
from ingestion.formats.schema_registry.reading import REASONS, ReadNamed, read_registered
from ingestion.formats.schema_registry.registry import Registered
from ingestion.formats.text import NOT_UTF8, as_utf8, utf16_hint

_STRING_OR_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
    rb"|(?<![\w.+-])-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![\w.+-])",
    re.DOTALL,
)
"""Whole strings, so that what looks like a number within one stays; else whole, well-formed numbers."""
_SHARE_OF_TEXT = 0.1
"""Less text than that is noise rather than a shape; it is said."""


@dataclass(frozen=True)
class JsonFormat:
    """JSON text as it came, byte by byte."""

    name: str = "json"
    options: type[FormatOptions] = JsonOptions
    reasons: frozenset[str] = frozenset({"empty", NOT_UTF8, "not_json", VIOLATES_SCHEMA}) | REASONS
    keeps_bytes: bool = False
    is_text: bool = True
    libraries: tuple[str, ...] = ("orjson",)
    extra: str = ""

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Parse each value, and keep those that parse as they are."""
        options = cast(JsonOptions, options)
        values = events["value"].combine_chunks()
        if options.registered is not None:
            return _read_registered(events, options, around)
        is_other = options.lines or options.encoding
        other = range(len(values)) if is_other else _find_others(values, options.validated_by)
        if not other:
            return Texts(values.cast(pa.string()))
        headers = events["headers"].combine_chunks()
        read: dict[int, bytes] = {}
        refused: dict[int, Refusal] = {}
        for row in other:
            value = values[row].as_py()
            text = None if value is None else _read(value, headers[row].as_py(), options)
            if isinstance(text, Refusal):
                refused[row] = text
            elif text is not None:
                read[row] = text
        mask = pc.is_in(pa.array(range(len(values)), pa.int64()), value_set=pa.array(other, pa.int64()))
        texts = pc.replace_with_mask(values, mask, pa.array([read.get(row) for row in other], pa.binary()))
        altered = frozenset(row for row, text in read.items() if text != values[row].as_py())
        return Texts(texts.cast(pa.string()), refused, altered)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are JSON, some of them lines of it, or text among it."""
        found = Counter(map(_look_of, samples))
        whole = found["document"] + found["single"] + found["lines"]
        if not whole:
            what = "JSON after a schema registry's prefix (00 and the schema's number)"
            return likeness_of_prefix(self.name, CERTAIN, found["prefixed"], samples, what)
        level = STRUCTURE if found["document"] or found["lines"] else LIKELY
        what = "JSON" if level == STRUCTURE else "JSON, but single numbers, texts or words,"
        options = {}
        if found["lines"]:
            what, options = "several lines of JSON", {"lines": True}
        if not found["text"] or found["text"] > whole:
            return likeness(level, whole, samples, what, options=options)
        example = next(each.value for each in samples if _look_of(each) == "text").decode()[:20]
        among = f"text that is not JSON in {found['text']} of {len(samples)}, as '{example}'"
        if found["text"] < _SHARE_OF_TEXT * len(samples):
            note = f"{among}: --format '{{json: {{or_text: true}}}}' lands it, too"
            return likeness(level, whole, samples, what, options=options, note=note)
        return likeness(
            level, whole + found["text"], samples, f"{what} or text", more=among,
            options=options | {"or_text": True},
        )  # fmt: skip


def _look_of(sample: Sample) -> str:
    """What a sample is to JSON: document, single, lines, text, prefixed, or other."""
    text = as_utf8(sample.value, sample.headers)
    if isinstance(text, Refusal):
        return "prefixed" if _is_document(after_prefix(sample.value) or b"") else "other"
    if isinstance(_read_one(text, JsonOptions()), bytes):
        return "document" if text.lstrip()[:1] in (b"{", b"[") else "single"
    if count_lines(text) > 1:
        return "lines"
    if _is_document(after_prefix(sample.value) or b""):
        return "prefixed"
    return "text" if is_bare_text(text) else "other"


def _is_document(text: bytes) -> bool:
    return text.lstrip()[:1] in (b"{", b"[") and isinstance(_read_one(text, JsonOptions()), bytes)


def _read_registered(events: pa.Table, options: JsonOptions, around: Surroundings) -> Texts:
    """Values that name their schema in a registry: what follows the name, or stands beside the header."""

    def reader_of(_: Registered, __: str) -> ReadNamed:
        return lambda said: _read(said.rest if said.value is None else said.value, None, options)

    found = read_registered(events, around, kind="JSON", not_named="not_json", reader_of=reader_of)
    same = pc.fill_null(pc.equal(events["value"].combine_chunks(), found.payload.cast(pa.binary())), True)
    altered = frozenset(pc.indices_nonzero(pc.invert(same)).to_pylist())
    return replace(found, altered=altered)


def _find_others(values: pa.BinaryArray, schema: JsonSchemaFile | None) -> list[int]:
    """The rows that do not parse as they came, or violate the schema."""
    others = []
    loads = orjson.loads
    holds = schema.holds if schema else None
    for index, value in enumerate(values.to_pylist()):
        if value is None:
            continue
        try:
            found = loads(value)
        except orjson.JSONDecodeError:
            others.append(index)
        else:
            if holds is not None and not holds(found):
                others.append(index)
    return others


def _read(value: bytes, headers: str | None, options: JsonOptions) -> bytes | Refusal:
    """A value as JSON text."""
    text = as_utf8(value, headers, options.encoding)
    if isinstance(text, bytes):
        text = _read_lines(text, options) if options.lines else _read_one(text, options)
    if isinstance(text, Refusal):
        return Refusal(text.reason, text.detail + utf16_hint(value))
    return text


def _read_lines(text: bytes, options: JsonOptions) -> bytes | Refusal:
    """Lines of JSON as an array; a single document may take several lines."""
    lines = [line.strip(b"\r") for line in text.split(b"\n") if line.strip()]
    found = [_read_one(line, options) for line in lines]
    for number, line in enumerate(found, 1):
        if isinstance(line, Refusal):
            whole = _read_one(text, options.model_copy(update={"or_text": False}))
            return (
                Refusal(line.reason, f"line {number} of {len(lines)}: {line.detail}")
                if isinstance(whole, Refusal)
                else b"[" + whole + b"]"
            )
    if not found:
        return Refusal("empty", "no line holds anything")
    return b"[" + b",".join(line for line in found if isinstance(line, bytes)) + b"]"


def _read_one(text: bytes, options: JsonOptions) -> bytes | Refusal:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "infinity" in str(error) and _is_json_but_for_sizes(text):
            return _kept(text, None, options)
        if not text.strip():
            return Refusal("empty", "nothing but spaces" if text else "no bytes")
        return orjson.dumps(text.decode()) if options.or_text else Refusal("not_json", str(error))
    return _kept(text, found, options)


def _kept(text: bytes, value: Any, options: JsonOptions) -> bytes | Refusal:
    """A text whose value keeps to the schema, where the stream asks for that.

    Args:
        text: JSON.
        value: What it says; None where a number in it is too large for orjson.
        options: What the stream declares.
    """
    if options.validated_by is None:
        return text
    try:
        value = json.loads(text, parse_float=Decimal) if value is None else value
        wrong = options.validated_by.violation(value)
    except RecursionError:
        wrong = "it nests too deep to be validated"
    return Refusal(VIOLATES_SCHEMA, wrong) if wrong else text


def _is_json_but_for_sizes(value: bytes) -> bool:
    """Whether it parses once its numbers fit a double: orjson takes no 1e400."""
    try:
        orjson.loads(_STRING_OR_NUMBER.sub(_smaller, value))
    except orjson.JSONDecodeError:
        return False
    return True


def _smaller(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"0"


JSON = JsonFormat()
