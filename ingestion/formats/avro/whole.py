"""Values from their first byte to their last, and the reasons for which bytes are not one."""

from collections.abc import Callable
from io import BytesIO

import orjson

from ingestion.formats.avro.mapping import converter
from ingestion.formats.avro.schema import AvroSchema, SchemaRefused
from ingestion.formats.port import Refusal

NOT_AVRO = "not_avro"


def whole_of(writer: AvroSchema, reader: AvroSchema) -> Callable[[bytes], bytes]:
    """Reads what was written with one schema as another one says it.

    Raises:
        Mismatch: No value of the writer's fits the reader's. What it returns raises whatever bytes bring.
    """
    read, wire, convert, dumps = writer.read, writer.wire, converter(writer, reader), orjson.dumps

    def whole(value: bytes) -> bytes:
        file = BytesIO(value)
        found = read(file, wire)
        if file.tell() != len(value):
            require_end(file, len(value))
        return dumps(found if convert is None else convert(found))

    return whole


def require_end(file: BytesIO, size: int) -> None:
    """Refuse bytes that go on after the value.

    Raises:
        ValueError: They do.
    """
    if file.tell() != size:
        raise ValueError(f"the value ends after {file.tell()} of {size} bytes")


def refusal(error: Exception) -> Refusal:
    """What reading some bytes raised, as the reason why they are not a value."""
    if isinstance(error, RecursionError):
        return Refusal(NOT_AVRO, "it nests too deep")
    if isinstance(error, orjson.JSONEncodeError):  # it nests deeper than 254 levels
        return Refusal(NOT_AVRO, f"JSON does not hold it: {error}")
    if isinstance(error, SchemaRefused):
        return Refusal(NOT_AVRO, f"its schema cannot be used: {error}")
    return Refusal(NOT_AVRO, f"{type(error).__name__}: {error}".removesuffix(": "))
