"""The fixed raw schema: what a source hands over, what a raw table holds, and event identity.

No payload can change these columns; typing is dbt's work. Reasons: docs/delivery.md.
"""

import pyarrow as pa

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

SOURCE_SCHEMA = pa.schema(
    [
        pa.field("source_partition", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("event_key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.string()),
        pa.field("event_time", UTC_MICROSECONDS),
    ]
)
"""What a log yields: bytes as they came. A null value is a tombstone; headers are a JSON object."""

EVENT_SCHEMA = pa.schema(
    [
        ("batch_id", pa.int64()),
        ("source_partition", pa.string()),
        ("position", pa.int64()),
        ("event_id", pa.string()),
        ("event_key", pa.string()),
        ("payload", pa.string()),
        ("payload_raw", pa.binary()),
        ("headers", pa.string()),
        ("event_time", UTC_MICROSECONDS),
        ("ingested_at", UTC_MICROSECONDS),
    ]
)
"""raw.<stream>: the envelope. dlt adds `_dlt_load_id`."""

REJECT_SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("batch_id", pa.int64()),
        ("source_partition", pa.string()),
        ("position", pa.int64()),
        ("event_id", pa.string()),
        ("event_key", pa.string()),
        ("payload_raw", pa.binary()),
        ("payload_bytes", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("headers", pa.string()),
        ("event_time", UTC_MICROSECONDS),
        ("ingested_at", UTC_MICROSECONDS),
    ]
)
"""raw.rejects: what could not be decoded, with its bytes (null above the size limit) and the reason."""

BATCH_SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("batch_id", pa.int64()),
        ("source_partition", pa.string()),
        ("log_id", pa.string()),
        ("start_position", pa.int64()),
        ("end_position", pa.int64()),
        ("log_end_position", pa.int64()),
        ("events_read", pa.int64()),
        ("events_landed", pa.int64()),
        ("events_rejected", pa.int64()),
        ("bytes_read", pa.int64()),
        ("first_event_time", UTC_MICROSECONDS),
        ("last_event_time", UTC_MICROSECONDS),
        ("started_at", UTC_MICROSECONDS),
        ("ingested_at", UTC_MICROSECONDS),
        ("positions_skipped", pa.int64()),
        ("retired", pa.string()),
        ("last_event", pa.string()),
        ("log_end_proof", pa.string()),
        ("format_state", pa.string()),
        ("schemas", pa.string()),
    ]
)
"""raw.batches: the ledger, one row per batch and partition. Windows are [start, end).

`positions_skipped` lie right before the window: they are lost unread, and `on_truncated: earliest` or
`millrace adopt` accepted that (null in rows older than the column). `retired` says why the stream does not
read the partition on from here (positions.py); null: it does. A later batch recognises the log by
`last_event` (recognition.py) and `log_end_proof` (Bounds.proof). `format_state` is what a format that keeps
state decodes the partition's next events by; null: what an earlier row says still holds. `schemas` is a JSON
list of the schemas of a registry that the batch's values name; null: of none, or read before the column.
"""

RESOLUTION_SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("event_id", pa.string()),
        ("batch_id", pa.int64()),
        ("outcome", pa.string()),
        ("landed_batch_id", pa.int64()),
        ("resolved_at", UTC_MICROSECONDS),
        ("note", pa.string()),
    ]
)
"""raw.reject_resolutions: what became of a reject later: landed (in which batch) or dismissed (why).

An event that a replay landed without having been a reject has a row here too, `replayed`, and so has one that
was given to the stream, `given`: the proof needs it.
"""

SQL_TYPES = {
    pa.int64(): "bigint",
    pa.string(): "varchar",
    pa.binary(): "blob",
    UTC_MICROSECONDS: "timestamptz",
}
"""The DuckDB type of each Arrow type above."""
