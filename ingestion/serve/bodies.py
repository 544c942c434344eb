"""Rows → pieces of a body, in JSON, CSV or Arrow's IPC stream. The rows come as record batches."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from ingestion.connectors.marts import Head, Notation
from ingestion.serve.texts import Columns, csv_row, json_object, literal, quoted

Pieces = Callable[[str, Columns, Head, pa.RecordBatchReader], Iterator[bytes]]

_JSON_BETWEEN, _CSV_END = ",\n", "\r\n"
_SPECIAL = re.compile(r'[",\r\n]')


@dataclass(frozen=True)
class Form:
    """A notation.

    Attributes:
        select: SQL of what is selected, from the columns.
        pieces: The body, from the mart's name, its columns, what is known of the answer, and the rows.
    """

    select: Callable[[Columns], str]
    pieces: Pieces


def _json(name: str, columns: Columns, head: Head, rows: pa.RecordBatchReader) -> Iterator[bytes]:
    described = [{"name": column, "type": str(kind)} for column, kind in columns]
    known = {"mart": name, "snapshot": head.snapshot, "whole": head.whole, "columns": described}
    moments = {
        stream: {"fresh_to": head.fresh_to.get(stream), "complete_to": head.complete_to.get(stream)}
        for stream in head.streams
    }
    text = orjson.dumps(known | {"streams": moments}, option=orjson.OPT_UTC_Z)
    yield text[:-1] + b',"rows":['
    skipped = len(_JSON_BETWEEN)  # before the first row stands nothing
    for batch in rows:
        if batch.num_rows:
            yield _texts(batch)[skipped:]
            skipped = 0
    yield b'],"next":' + orjson.dumps(head.next_page or None) + b"}\n"


def _csv(name: str, columns: Columns, head: Head, rows: pa.RecordBatchReader) -> Iterator[bytes]:
    """As RFC 4180."""
    names = (
        f'"{doubled}"' if _SPECIAL.search(column) else column
        for column, _ in columns
        for doubled in [column.replace('"', '""')]
    )
    yield ",".join(names).encode() + b"\r\n"
    for batch in rows:
        if batch.num_rows:
            yield _texts(batch)


def _arrow(name: str, columns: Columns, head: Head, rows: pa.RecordBatchReader) -> Iterator[bytes]:
    written = _Written()
    writer = pa.ipc.new_stream(pa.PythonFile(written, "w"), rows.schema)
    for batch in rows:
        writer.write_batch(batch)
        yield written.take()
    writer.close()
    yield written.take()


def _texts(batch: pa.RecordBatch) -> bytes:
    """The texts of the one column, one after another: Arrow has them so, and Python looks at none of them."""
    column = batch.column(0).cast(pa.large_string())
    _, offsets, data = column.buffers()
    places = memoryview(offsets).cast("q")
    return bytes(memoryview(data)[places[column.offset] : places[column.offset + len(column)]])


class _Written(io.RawIOBase):
    """A file of which what was written is taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


FORMS: dict[Notation, Form] = {
    "json": Form(lambda columns: f"{literal(_JSON_BETWEEN)} || {json_object([*columns])}", _json),
    "csv": Form(lambda columns: f"{csv_row([*columns])} || {literal(_CSV_END)}", _csv),
    "arrow": Form(
        lambda columns: ", ".join(
            f"{quoted(name)}::varchar as {quoted(name)}" if kind.id == "enum" else quoted(name)
            for name, kind in columns
        ),
        _arrow,
    ),
}
