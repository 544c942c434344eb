"""The table of docs/values.md for Avro: what fastavro wrote, the text in raw, what staging shows of it."""

import json
import math
import tempfile
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from ingestion.declare.stream import Stream
from ingestion.formats.port import FOLDER
from tests.formats.avro_bytes import declare, encode, texts
from tests.values.staged import Fate, stage_events

_AT = datetime(2026, 3, 1, 8, 30, 0, 123456, tzinfo=UTC)


def _logical(kind: str, word: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": word, **more}


def _fixed(size: int, **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": "f", "size": size, **more}


_ORDER = {"type": "record", "name": "order", "fields": [{"name": "id", "type": "long"}]}
_RETURN = {"type": "record", "name": "return", "fields": [{"name": "id", "type": "long"}]}
_TREE = {
    "type": "record",
    "name": "tree",
    "fields": [{"name": "n", "type": "int"}, {"name": "over", "type": {"type": "array", "items": "tree"}}],
}
CASES: tuple[tuple[Any, Any], ...] = (
    ("boolean", True),
    ("int", -(2**31)),
    ("long", 2**63 - 1),
    ("long", -(2**63)),
    ("float", 0.1),
    ("double", 0.1),
    ("double", 1e300),
    ("double", -0.0),
    ("double", math.nan),
    ("double", -math.inf),
    ("string", 'a"é\u0001'),
    ("bytes", b"\x00\xff"),
    (_fixed(3), b"abc"),
    ({"type": "enum", "name": "e", "symbols": ["NEW", "PAID"]}, "PAID"),
    ({"type": "array", "items": "int"}, [1, 2]),
    ({"type": "map", "values": "double"}, {"a": 1.5}),
    (_ORDER, {"id": 7}),
    (_TREE, {"n": 1, "over": [{"n": 2, "over": []}]}),
    (_logical("bytes", "decimal", precision=10, scale=2), Decimal("-0.05")),
    (
        _logical("bytes", "decimal", precision=38, scale=10),
        Decimal("1234567890123456789012345678.0123456789"),
    ),
    (_logical("bytes", "decimal", precision=50, scale=0), Decimal(10**49)),
    (_fixed(4, logicalType="decimal", precision=8, scale=3), Decimal("99999.999")),
    (_logical("int", "date"), date(2026, 3, 1)),
    (_logical("int", "date"), -1_000_000),
    (_logical("int", "time-millis"), time(8, 30, 0, 123000)),
    (_logical("long", "time-micros"), time(23, 59, 59, 999999)),
    (_logical("long", "timestamp-millis"), _AT.replace(microsecond=123000)),
    (_logical("long", "timestamp-micros"), _AT),
    (_logical("long", "timestamp-micros"), datetime(1, 1, 1, tzinfo=UTC)),
    (_logical("long", "timestamp-micros"), 2**62),
    (_logical("long", "timestamp-nanos"), 1_772_353_800_123_456_789),
    (_logical("long", "local-timestamp-millis"), datetime(2026, 3, 1, 8, 30)),
    (_logical("string", "uuid"), UUID(int=7)),
    (_fixed(16, logicalType="uuid"), UUID(int=7).bytes),
    (_fixed(12, logicalType="duration"), bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0])),
    (["null", "long"], None),
    (["null", "long"], 5),
    (["null", "int", "string"], "five"),
    (["int", "double"], 5),
    (["string", "bytes"], "five"),
    (["double", "string"], "NaN"),
    ([_ORDER, _RETURN], ("return", {"id": 7})),
)


def section() -> str:
    """The section as Markdown."""
    stream, fate = _staged()
    rows = [_row(at, schema, value, stream, fate) for at, (schema, value) in enumerate(CASES)]
    head = "| type | value | text in raw | type of the field | staging shows | reported |"
    prose = (
        "`format: {avro: {schema: {file: …}}}`: the text that raw has beside the bytes, and what staging "
        "makes of a field\nwhose type comes from the schema ([Avro](formats/avro.md))."
    )
    return "\n".join(["", "## Avro", "", prose, "", head, "|---|---|---|---|---|---|", *rows, ""])


def _staged() -> tuple[Stream, Fate]:
    """All cases as the fields of one event: its stream, and what staging shows."""
    fields = [{"name": f"v{at}", "type": _apart(schema, at)} for at, (schema, _) in enumerate(CASES)]
    record = {"type": "record", "name": "all", "fields": fields}
    sent = encode(record, {f"v{at}": _value(value, at) for at, (_, value) in enumerate(CASES)})
    with tempfile.TemporaryDirectory() as folder:
        declared = {"name": "s", "source": {"kafka": "s"}, "format": declare(Path(folder), record)}
        stream = Stream.model_validate(declared, context={FOLDER: folder})
        (fate,) = stage_events(stream, [{"value": sent}], text=True)
    return stream, fate


def _apart(schema: Any, at: int) -> Any:
    """The type with its names in a namespace of the case's own."""
    if isinstance(schema, list):
        return [_apart(branch, at) for branch in schema]
    return schema | {"namespace": f"n{at}"} if isinstance(schema, dict) and "name" in schema else schema


def _value(value: Any, at: int) -> Any:
    """A value with a branch's name, which is in the namespace then."""
    return (f"n{at}.{value[0]}", value[1]) if isinstance(value, tuple) else value


def _row(at: int, schema: Any, value: Any, stream: Stream, fate: Fate) -> str:
    with tempfile.TemporaryDirectory() as folder:
        declared = declare(Path(folder), schema, encoding="bare")
        (text,) = texts(declared, [encode(schema, value)], folder)
    name = f"v{at}"
    shown = fate.values[name]
    cells = [
        _code(schema if isinstance(schema, str) else json.dumps(schema)),
        _code(value if isinstance(value, str) else repr(value)),
        _code(text),
        stream.fields[name].type,
        "null" if shown is None else _code(shown.replace(f"n{at}.", "")) if shown else "empty text",
        "yes" if name in fate.cast_errors else "",
    ]
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    shown = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return f"`{shown}`".replace("|", "\\|")
