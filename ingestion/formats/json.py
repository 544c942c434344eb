"""Bytes → JSON text, or a reject with a reason. Never raises on data, works on whole columns.

A format belongs here; typing the fields of a payload is dbt's work. Reasons: docs/delivery.md.
"""

from dataclasses import dataclass
from datetime import datetime

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.log.envelope import EVENT_SCHEMA, REJECT_SCHEMA, UTC_MICROSECONDS

_DETAIL_CHARACTERS = 300


@dataclass(frozen=True)
class Decoded:
    """The two ends of every event read: rows of EVENT_SCHEMA and of REJECT_SCHEMA."""

    events: pa.Table
    rejects: pa.Table


def decode_json(
    chunk: pa.Table, *, stream: str, batch_id: int, ingested_at: datetime, max_bytes: int
) -> Decoded:
    """Decode a chunk whose values should be JSON.

    Args:
        chunk: Rows of SOURCE_SCHEMA.
        stream: The stream's name.
        batch_id: Number of the batch that the rows will land in.
        ingested_at: Stamp for every row, UTC.
        max_bytes: A larger value is rejected without its bytes.

    Returns:
        As many rows as came in, each either an event (a null value: a tombstone, payload null) or a reject.
    """
    chunk = chunk.combine_chunks()
    reasons, details = _find_rejects(chunk["value"].combine_chunks(), max_bytes)
    row_ids = _event_ids(chunk)
    keys = _keys_as_text(chunk["event_key"])
    shared = {
        "batch_id": pa.repeat(pa.scalar(batch_id, pa.int64()), chunk.num_rows),
        "source_partition": chunk["source_partition"],
        "position": chunk["position"],
        "event_id": row_ids,
        "event_key": keys,
        "headers": chunk["headers"],
        "event_time": chunk["event_time"],
        "ingested_at": pa.repeat(pa.scalar(ingested_at, UTC_MICROSECONDS), chunk.num_rows),
    }
    if not reasons:
        payload = chunk["value"].cast(pa.string())
        raw = pa.nulls(chunk.num_rows, pa.binary())
        events = pa.table(shared | {"payload": payload, "payload_raw": raw}).select(EVENT_SCHEMA.names)
        return Decoded(events.cast(EVENT_SCHEMA), REJECT_SCHEMA.empty_table())
    bad = pa.array(sorted(reasons), pa.int64())
    is_bad = pc.is_in(pa.array(range(chunk.num_rows), pa.int64()), value_set=bad)
    table = pa.table(shared | {"value": chunk["value"]})
    good, rejected = table.filter(pc.invert(is_bad)), table.take(bad)
    events = good.append_column("payload", good["value"].cast(pa.string())).append_column(
        "payload_raw", pa.nulls(good.num_rows, pa.binary())
    )
    sizes = pc.binary_length(rejected["value"])
    kept = pc.if_else(pc.greater(sizes, max_bytes), pa.scalar(None, pa.binary()), rejected["value"])
    ordered = [index.as_py() for index in bad]
    rejects = pa.table(
        {name: rejected[name] for name in shared}
        | {
            "stream": pa.repeat(pa.scalar(stream), len(ordered)),
            "payload_raw": kept,
            "payload_bytes": sizes,
            "reason": [reasons[index] for index in ordered],
            "detail": [details[index] for index in ordered],
        }
    )
    return Decoded(
        events.select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA),
        rejects.select(REJECT_SCHEMA.names).cast(REJECT_SCHEMA),
    )


def _find_rejects(values: pa.BinaryArray, max_bytes: int) -> tuple[dict[int, str], dict[int, str]]:
    """Row → reason and row → detail, of the values that are no JSON text."""
    reasons: dict[int, str] = {}
    details: dict[int, str] = {}
    loads = orjson.loads
    for index, value in enumerate(values.to_pylist()):
        if value is None:
            continue
        if len(value) > max_bytes:
            reasons[index] = "too_large"
            details[index] = f"{len(value)} bytes, the limit is {max_bytes}"
            continue
        try:
            loads(value)
        except orjson.JSONDecodeError as error:
            reasons[index] = _reason(value)
            details[index] = str(error)[:_DETAIL_CHARACTERS]
    return reasons, details


def _reason(value: bytes) -> str:
    if not value.strip():
        return "empty"
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8"
    return "not_json"


def _event_ids(chunk: pa.Table) -> pa.Array:
    """Positional identity, `partition@position`: two equal readings are two events."""
    return pc.binary_join_element_wise(chunk["source_partition"], chunk["position"].cast(pa.string()), "@")


def _keys_as_text(keys: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Keys as text; one that is not UTF-8 as \\x and hexadecimal digits."""
    try:
        return keys.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_key_as_text(key) for key in keys.to_pylist()], pa.string())


def _key_as_text(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        return "\\x" + key.hex()
