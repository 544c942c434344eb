"""Messages of Protocol Buffers → JSON text, by field names as the schema writes them.

Fields without presence show their zero where nothing was sent, as the language defines it; other fields that
were not sent are left out. Google's well-known types are as its JSON mapping has them:
https://protobuf.dev/programming-guides/json/. What else becomes what: docs/formats.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import orjson
import pyarrow as pa

from ingestion.formats.canonical import MOST_LEVELS, Unsayable, base64_text, number
from ingestion.formats.each import array_of, read_each, read_quickly
from ingestion.formats.likeness import ANYTHING, GUESS, Likeness, Sample, is_text, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.protobuf.columns import columns_of
from ingestion.formats.protobuf.descriptors import message_class
from ingestion.formats.protobuf.fields import is_wrapper
from ingestion.formats.protobuf.flat import flat
from ingestion.formats.protobuf.options import ProtobufOptions
from ingestion.formats.protobuf.registered import quick_of, reader_of
from ingestion.formats.protobuf.wire import fields_on_the_wire
from ingestion.formats.schema_registry.reading import REASONS, read_registered
from ingestion.formats.unpack import UNPACKS_TOO_LARGE

NOT_PROTOBUF = "not_protobuf"
_OWN_JSON = frozenset(
    f"google.protobuf.{each}"
    for each in ("Any", "Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value")
)
_LENGTH_BYTES = 5
_EXAMPLE = "--format '{protobuf: {file: schemas/plant.proto, message: plant.v1.Reading}}'"
_NONE = object()


@dataclass(frozen=True)
class ProtobufFormat:
    """One message a value, or several that are delimited."""

    name: str = "protobuf"
    options: type[FormatOptions] = ProtobufOptions
    reasons: frozenset[str] = frozenset({NOT_PROTOBUF}) | REASONS
    keeps_bytes: bool = True
    libraries: tuple[str, ...] = ("google.protobuf",)
    extra: str = "protobuf"

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Decode each value."""
        declared = cast(ProtobufOptions, options)
        if declared.place is not None:
            return read_registered(
                events, around, kind="PROTOBUF", not_named=NOT_PROTOBUF,
                reader_of=lambda schema, _: reader_of(
                    schema, reason=NOT_PROTOBUF,
                    read=lambda value, of: _read_one(value, None, of_type=of, max_bytes=around.max_bytes),
                ),
                quick_of=lambda schema, _: quick_of(schema, columns_of),
            )  # fmt: skip
        of_type = message_class(declared.descriptors, declared.message)
        read_one = _read_delimited if declared.delimited else _read_one
        read = partial(read_one, of_type=of_type, max_bytes=around.max_bytes)
        columns = None if declared.delimited else columns_of(of_type)
        if columns is None:
            return read_each(events, around, read)
        return read_quickly(events, around, columns.texts, read)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether their lengths add up as a message's do, with one wire type for each field: a guess."""
        found = [fields for each in samples if not is_text(each.value)
                 if (fields := fields_on_the_wire(each.value))]  # fmt: skip
        kinds = {field for fields in found for field in fields}
        agree = len(kinds) == len({number for number, _ in kinds})
        numbers = ", ".join(str(number) for number, _ in sorted(kinds)[:8])
        what = f"what can be Protocol Buffers with the fields {numbers}"
        needs = f"it is a guess, and bytes show no names: give the schema, as in {_EXAMPLE}"
        level = GUESS + ANYTHING / 2 if agree and len(found) > 1 else GUESS - ANYTHING / 2
        return likeness(level, len(found), samples, what, needs=needs)


class _TooLarge(Exception):
    """The text would be longer than a value may be."""


def _read_one(value: bytes, headers: str | None, *, of_type: Any, max_bytes: int) -> bytes | Refusal:
    from google.protobuf.message import DecodeError

    try:
        return _said(value, of_type, max_bytes)
    except DecodeError as error:
        return Refusal(NOT_PROTOBUF, f"it is not a {of_type.DESCRIPTOR.full_name}: {error}")
    except _TooLarge:
        return Refusal(
            UNPACKS_TOO_LARGE, f"its JSON text is longer than {max_bytes} bytes, which is the limit"
        )
    except (
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # a Timestamp out of range, an Any of an unknown type
        return Refusal(NOT_PROTOBUF, f"it cannot be said in JSON: {error}")


def _said(value: bytes, of_type: Any, max_bytes: int) -> bytes:
    message = of_type.FromString(value)
    if (say := flat(of_type.DESCRIPTOR)) is not None:
        text = orjson.dumps(say(message))
        if len(text) > max_bytes:
            raise _TooLarge
        return text
    if not message.IsInitialized():
        missing = ", ".join(message.FindInitializationErrors()[:5])
        raise ValueError(f"required fields are missing: {missing}")
    return orjson.dumps(_Saying(max_bytes).message(message, MOST_LEVELS))


def _read_delimited(value: bytes, headers: str | None, *, of_type: Any, max_bytes: int) -> bytes | Refusal:
    texts, at, left = list[bytes](), 0, max_bytes
    while at < len(value):
        length, at = _length(value, at)
        if length < 0 or at + length > len(value):
            return Refusal(
                NOT_PROTOBUF, f"message {len(texts) + 1} has no whole length before it, or ends too early"
            )
        text = _read_one(value[at : at + length], headers, of_type=of_type, max_bytes=max(left, 0))
        if isinstance(text, Refusal):
            return Refusal(text.reason, f"message {len(texts) + 1}: {text.detail}")
        texts.append(text)
        left -= len(text) + 1
        at += length
    return array_of(texts)


def _length(value: bytes, at: int) -> tuple[int, int]:
    """A varint, and what comes after it; negative where there is none."""
    found = 0
    for number_of, byte in enumerate(value[at : at + _LENGTH_BYTES]):
        found |= (byte & 0x7F) << (7 * number_of)
        if byte < 0x80:
            return found, at + number_of + 1
    return -1, at


class _Saying:
    """Says messages, up to a size: two bytes of an empty message may mean a hundred names of fields."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    def message(self, message: Any, levels: int) -> Any:
        """A message as dicts, lists, texts and numbers."""
        described = message.DESCRIPTOR
        if is_wrapper(described):
            return self._value(described.fields[0], message.value, levels)
        if described.full_name in _OWN_JSON and (own := self._well_known(message)) is not _NONE:
            return own
        if levels == 0:
            raise Unsayable(f"it nests deeper than {MOST_LEVELS} levels")
        found: dict[str, Any] = {}
        for field in described.fields:
            if field.has_presence and not message.HasField(field.name):
                continue
            found[field.name] = self._field(field, getattr(message, field.name), levels - 1)
        for field, value in message.ListFields():
            if field.is_extension:
                found[f"[{field.full_name}]"] = self._field(field, value, levels - 1)
        return found

    def _field(self, field: Any, value: Any, levels: int) -> Any:
        self._spend(len(field.name) + 4)
        if not field.is_repeated:
            return self._value(field, value, levels)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            inner = entry.fields_by_name["value"]
            return {_name(key): self._value(inner, value[key], levels) for key in value}
        return [self._value(field, each, levels) for each in value]

    def _value(self, field: Any, value: Any, levels: int) -> Any:
        self._spend(1)
        if field.message_type is not None:
            return self.message(value, levels)
        if field.enum_type is not None:
            known = field.enum_type.values_by_number.get(value)
            return known.name if known else value
        if isinstance(value, bytes):
            return base64_text(value)
        return number(value) if isinstance(value, float) else value

    def _well_known(self, message: Any) -> Any:
        """Google's own JSON; _NONE where it has none, as a time after the year 9999."""
        from google.protobuf import json_format

        self._spend(message.ByteSize())
        try:
            return json_format.MessageToDict(
                message, preserving_proto_field_name=True, descriptor_pool=message.DESCRIPTOR.file.pool
            )
        except (json_format.Error, ValueError, TypeError, KeyError, AttributeError):
            return _NONE

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TooLarge


def _name(key: Any) -> str:
    return key if isinstance(key, str) else str(key).lower()


PROTOBUF = ProtobufFormat()
