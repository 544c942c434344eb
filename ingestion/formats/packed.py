"""What a format says of values that may be compressed: a header says so, or it refuses them as they are.

Unpacking itself is unpack.py's.
"""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.port import (
    Format,
    FormatOptions,
    Refusal,
    Surroundings,
    Texts,
    keeps_state,
)
from ingestion.formats.unpack import HEADER_PART, HEADER_PATTERN, packed_as, unpack


def read_packed(chosen: Format, options: FormatOptions, events: pa.Table, around: Surroundings) -> Texts:
    """Decode some events, also those whose values are compressed.

    Args:
        chosen: The format.
        options: What the stream declares about it.
        events: Rows of SOURCE_SCHEMA, none of them too large.
        around: What surrounds them.

    Raises:
        FormatUnavailable: What the format needs does not answer.
    """
    max_bytes = around.max_bytes
    # What is found only after a refusal would come too late for the events after it.
    said = _rows_that_look_packed(events) if keeps_state(chosen) else _rows_with_encoding(events)
    first = _unpacked(events, said, max_bytes=max_bytes)
    answer = chosen.texts(_with_values(events, first), options, around)
    refused = dict(answer.refused)
    unseen = [row for row in refused if row not in first and not keeps_state(chosen)]
    second = _unpacked(events, unseen, max_bytes=max_bytes)
    for row, found in (first | second).items():
        if isinstance(found, Refusal) and row in refused:
            refused[row] = found
    again = [row for row, found in second.items() if isinstance(found, bytes)]
    altered = answer.altered | {row for row, found in first.items() if isinstance(found, bytes)}
    if not again:
        return replace(answer, refused=refused, altered=altered - refused.keys())
    later = chosen.texts(_with_values(events, second).take(again).combine_chunks(), options, around)
    for row in again:
        del refused[row]
    refused |= {again[at]: refusal for at, refusal in later.refused.items()}
    mask = pc.is_in(pa.array(range(events.num_rows), pa.int64()), value_set=pa.array(again, pa.int64()))
    payload = pc.replace_with_mask(answer.payload, mask, later.payload)
    schemas = tuple(dict.fromkeys((*answer.schemas, *later.schemas)))
    altered = (altered | set(again)) - refused.keys()
    return replace(answer, payload=payload, refused=refused, altered=altered, schemas=schemas)


def _rows_with_encoding(events: pa.Table) -> list[int]:
    """The rows whose headers may say that the value is compressed."""
    headers = events["headers"].combine_chunks()
    text = headers.buffers()[2]
    # One search in all headers of a chunk at once: nearly always nothing is there.
    if text is None or HEADER_PART not in text.to_pybytes():
        return []
    found = pc.match_substring_regex(headers, HEADER_PATTERN, ignore_case=True)
    rows: list[int] = pc.indices_nonzero(pc.fill_null(found, False)).to_pylist()
    return rows


def _rows_that_look_packed(events: pa.Table) -> list[int]:
    """The rows whose headers or first bytes say that the value is compressed."""
    begin = [packed_as(each or b"") for each in pc.binary_slice(events["value"], 0, 4).to_pylist()]
    said = set(_rows_with_encoding(events))
    return [row for row, coding in enumerate(begin) if coding or row in said]


def _unpacked(events: pa.Table, rows: list[int], *, max_bytes: int) -> dict[int, bytes | Refusal]:
    """What unpacking makes of some rows; those that are not compressed are left out."""
    found = {}
    for row in rows:
        value = events["value"][row].as_py()
        unpacked = (
            None if value is None else unpack(value, events["headers"][row].as_py(), max_bytes=max_bytes)
        )
        if unpacked is not None:
            found[row] = unpacked
    return found


def _with_values(events: pa.Table, found: Mapping[int, bytes | Refusal]) -> pa.Table:
    """The events with other values where there are other bytes."""
    others = {row: value for row, value in sorted(found.items()) if isinstance(value, bytes)}
    if not others:
        return events
    mask = pc.is_in(pa.array(range(events.num_rows), pa.int64()), value_set=pa.array(others, pa.int64()))
    values = pc.replace_with_mask(
        events["value"].combine_chunks(), mask, pa.array(others.values(), pa.binary())
    )
    return events.set_column(events.schema.get_field_index("value"), events.schema.field("value"), values)
