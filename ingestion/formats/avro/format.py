"""Avro values → JSON text. Schemas are in schema.py, what a value becomes in mapping.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.avro.columns import columns_of
from ingestion.formats.avro.containers import MAGIC, UnpacksTooLarge, open_container
from ingestion.formats.avro.mapping import converter
from ingestion.formats.avro.options import AvroOptions
from ingestion.formats.avro.registered import quick_of, reader_of
from ingestion.formats.avro.schema import AvroSchema, SchemaRefused, parse
from ingestion.formats.avro.whole import NOT_AVRO, refusal, require_end, whole_of
from ingestion.formats.deep import deeper_stack
from ingestion.formats.each import Quick, array_of, read_each, read_quickly
from ingestion.formats.likeness import CERTAIN, LIKELY, Likeness, Sample, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.prefix import after_prefix, likeness_of_prefix
from ingestion.formats.schema_registry.reading import REASONS, UNKNOWN_SCHEMA, read_registered
from ingestion.formats.unpack import UNPACKS_TOO_LARGE

_SINGLE = b"\xc3\x01"
_SINGLE_HEADER = 10
_EXAMPLE = "--format '{avro: {schema: {file: orders.avsc}}}'"

_Read = Callable[[BytesIO], bytes]
"""Reads one value from where a file stands, and says it as JSON."""


@dataclass(frozen=True)
class AvroFormat:
    """Values of a declared schema, single objects, and object containers, which become arrays."""

    name: str = "avro"
    options: type[FormatOptions] = AvroOptions
    reasons: frozenset[str] = frozenset({NOT_AVRO}) | REASONS
    keeps_bytes: bool = True
    libraries: tuple[str, ...] = ("fastavro",)
    extra: str = "avro"

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Decode each value."""
        declared = cast(AvroOptions, options)
        if declared.registered is not None:
            how = (declared.registered, declared.subjects, around)
            with deeper_stack():
                return read_registered(
                    events, around, kind="AVRO", not_named=NOT_AVRO, reader_of=reader_of(*how),
                    quick_of=quick_of(*how),
                )  # fmt: skip
        reading = _Reading(declared, around.max_bytes)
        with deeper_stack():
            if (quick := reading.quick()) is not None:
                return read_quickly(events, around, quick, lambda value, _: reading.text(value))
            return read_each(events, around, lambda value, _: reading.text(value))

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """By the marks of containers, of single objects, and of a schema registry; bare values have none."""
        containers = sum(each.value.startswith(MAGIC) for each in samples)
        if containers:
            what = "Avro's object container magic 'Obj\\x01' at the beginning, and the schema after it,"
            return likeness(CERTAIN, containers, samples, what)
        single = [each.value for each in samples if each.value.startswith(_SINGLE)]
        single = [value for value in single if len(value) >= _SINGLE_HEADER]
        if single:
            names = sorted({value[2:_SINGLE_HEADER].hex() for value in single})
            needs = f"name the file of the schema with fingerprint {', '.join(names[:3])}: {_EXAMPLE}"
            return likeness(
                CERTAIN, len(single), samples, "Avro's single-object mark c3 01 at the beginning", needs=needs
            )
        prefixed = sum(after_prefix(each.value) is not None for each in samples)
        what = "a schema registry's prefix (00 and the schema's number), after which Avro is the usual thing,"
        return likeness_of_prefix(self.name, LIKELY, prefixed, samples, what)


class _Reading:
    """Reads the values of some events by what their stream declares."""

    def __init__(self, options: AvroOptions, max_bytes: int) -> None:
        self._encoding, self._reader, self._max_bytes = options.encoding, options.reader, max_bytes
        self._marks = () if options.encoding == "bare" else (MAGIC, _SINGLE)
        self._bare: Callable[[bytes], bytes] | None = None
        self._by_fingerprint = {
            schema.fingerprint: schema for schema in reversed(options.writers) if options.encoding != "bare"
        }

    def text(self, value: bytes) -> bytes | Refusal:
        """A value as JSON text, or why it has none."""
        try:
            if self._bare is not None and not value.startswith(self._marks):
                return self._bare(value)  # nearly always, and most of the work: it is kept short
            encoding = self._encoding
            if encoding == "container" or (encoding is None and value.startswith(MAGIC)):
                text = self._container(value)
            elif encoding == "single_object" or (encoding is None and value.startswith(_SINGLE)):
                schema = self._by_fingerprint.get(value[2:_SINGLE_HEADER])
                if schema is None or not value.startswith(_SINGLE):
                    return _unknown(value)
                text = _whole(value[_SINGLE_HEADER:], self._reader_of(schema))
            elif self._reader is None:
                return Refusal(NOT_AVRO, "it is not an object container, and no schema is declared")
            else:
                text = _whole(value, self._reader_of(self._reader))
                self._bare = whole_of(self._reader, self._reader)
        except UnpacksTooLarge as error:
            return Refusal(UNPACKS_TOO_LARGE, f"{error}: the limit is {self._max_bytes} bytes")
        except Exception as error:  # hostile bytes raise whatever the reader of their type does
            return refusal(error)
        return text

    def quick(self) -> Quick | None:
        """Reads bare values many at a time; None where that cannot be."""
        columns = None if self._reader is None else columns_of(self._reader, self._reader)
        if columns is None or self._encoding not in (None, "bare"):
            return None
        marks = self._marks

        def read(values: pa.Array) -> pa.Array | None:
            if any(pc.any(pc.starts_with(values, mark)).as_py() for mark in marks):
                return None
            return columns.texts(values)

        return read

    def _reader_of(self, writer: AvroSchema) -> _Read:
        """Reads what was written with a schema, as the declared one says it."""
        read, wire = writer.read, writer.wire
        convert = converter(writer, self._reader or writer)

        def one(file: BytesIO) -> bytes:
            found = read(file, wire)
            return orjson.dumps(found if convert is None else convert(found))

        return one

    def _container(self, value: bytes) -> bytes:
        """An array of the values in a container."""
        if not value.startswith(MAGIC):
            raise ValueError("it does not begin as an object container does")
        container = open_container(value, max_bytes=self._max_bytes)
        schema = parse(container.schema)
        read = self._reader_of(schema)
        found: list[bytes] = []
        left = self._max_bytes
        for count, block in container.blocks:
            if schema.is_empty and count:
                raise SchemaRefused("values that take no bytes may be any number")
            file = BytesIO(block)
            for _ in range(count):
                found.append(read(file))
                left -= len(found[-1]) + 1
                if left < 0:
                    raise UnpacksTooLarge("more bytes as JSON text than a value may have")
            require_end(file, len(block))
        return array_of(found)


def _whole(value: bytes, read: _Read) -> bytes:
    file = BytesIO(value)
    text = read(file)
    require_end(file, len(value))
    return text


def _unknown(value: bytes) -> Refusal:
    if not value.startswith(_SINGLE):
        return Refusal(NOT_AVRO, "it does not begin as a single object does, with c3 01")
    return Refusal(
        UNKNOWN_SCHEMA,
        f"the schema of fingerprint {value[2:_SINGLE_HEADER].hex()} is none of those declared: name its file "
        "under 'former', or declare 'encoding: bare' if these bytes are the value itself",
    )


AVRO: Any = AvroFormat()
