"""The ledger's rows for a batch: which positions it holds, and how much was read, landed and rejected.

Pure: columns in, columns out. What the columns mean: log/envelope.py.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.decode import Decoded
from ingestion.formats.port import Request
from ingestion.log.envelope import BATCH_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA
from ingestion.log.plausible import believed_times
from ingestion.log.port import Bounds, Window
from ingestion.log.positions import Position
from ingestion.log.recognition import LastEvent, last_events

_COUNTS = ("events_read", "events_landed", "events_rejected", "bytes_read", "positions_skipped")


@dataclass
class Reading:
    """What a batch has read so far.

    Attributes:
        positions: Partition → next position to read.
        decoded: Events and rejects, chunk by chunk.
        sizes: Partition, time and size of every event, chunk by chunk.
        bytes: Of the values.
        last_events: Partition → its last event that was read.
        states: Partition → what the format decodes the next events by, where that has changed.
        requests: What is to be sent to the source once all this is in the lake.
        schemas: The schemas of a registry that the values name, each once, in the order in which they came.
    """

    positions: dict[str, int]
    decoded: list[Decoded] = field(default_factory=list)
    sizes: list[pa.Table] = field(default_factory=list)
    bytes: int = 0
    last_events: dict[str, LastEvent] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    schemas: dict[str, None] = field(default_factory=dict)

    def add(self, events: pa.Table, decoded: Decoded, positions: Mapping[str, int]) -> None:
        """Take in a chunk: rows of SOURCE_SCHEMA, what they decoded to, and where partitions then stand."""
        sizes = pc.fill_null(pc.binary_length(events["value"]), 0)
        self.decoded.append(decoded)
        self.sizes.append(events.select(["source_partition", "event_time"]).append_column("bytes", sizes))
        self.positions.update(positions)
        self.last_events |= last_events(events)
        self.states |= decoded.states
        self.requests += decoded.requests
        self.schemas |= dict.fromkeys(decoded.schemas)
        self.bytes += int(pc.sum(sizes).as_py() or 0)

    @property
    def events(self) -> pa.Table:
        """Rows of EVENT_SCHEMA."""
        return pa.concat_tables([EVENT_SCHEMA.empty_table(), *(part.events for part in self.decoded)])

    @property
    def rejects(self) -> pa.Table:
        """Rows of REJECT_SCHEMA."""
        return pa.concat_tables([REJECT_SCHEMA.empty_table(), *(part.rejects for part in self.decoded)])


def batch_rows(
    reading: Reading,
    tables: Mapping[str, pa.Table],
    windows: Mapping[str, Window],
    bounds: Mapping[str, Bounds],
    *,
    stream: str,
    batch_id: int,
    started_at: datetime,
    ingested_at: datetime,
    skipped: Mapping[str, int],
    positions: Mapping[str, Position],
    tolerance: timedelta,
) -> pa.Table:
    """One row of BATCH_SCHEMA a partition.

    Args:
        reading: What was read.
        tables: The events under the stream's name, and `rejects`.
        windows: Partition → the positions that the batch holds.
        bounds: What the log held when the batch was planned.
        stream: The stream's name.
        batch_id: The batch's number.
        started_at: When it began, UTC.
        ingested_at: When it was read, UTC.
        skipped: Partition → positions before the window that retention deleted unread.
        positions: How far each partition was in the lake before.
        tolerance: How far a broker's time may be after `ingested_at` and still be believed.
    """
    landed, rejected = _count(tables[stream]), _count(tables["rejects"])
    spans = _spans(reading.sizes, received_at=ingested_at, tolerance=tolerance)
    schemas = json.dumps(list(reading.schemas)) if reading.schemas else None
    rows = [
        {
            "stream": stream,
            "batch_id": batch_id,
            "source_partition": name,
            "log_id": bounds[name].log_id,
            "start_position": window.start,
            "end_position": window.end,
            "log_end_position": bounds[name].end,
            "events_read": landed.get(name, 0) + rejected.get(name, 0),
            "events_landed": landed.get(name, 0),
            "events_rejected": rejected.get(name, 0),
            "started_at": started_at,
            "ingested_at": ingested_at,
            "positions_skipped": skipped.get(name, 0),
            "last_event": str(
                reading.last_events.get(name) or (positions[name].last_event if name in positions else "")
            ),
            "log_end_proof": bounds[name].proof,
            "format_state": reading.states.get(name),
            "schemas": schemas if name in landed or name in rejected else None,
        }
        | spans.get(name, {"bytes_read": 0, "first_event_time": None, "last_event_time": None})
        for name, window in sorted(windows.items())
    ]
    return pa.Table.from_pylist(rows, schema=BATCH_SCHEMA)


def retired_rows(
    positions: Mapping[str, Position], reasons: Mapping[str, str], *, stream: str, batch_id: int, at: datetime
) -> pa.Table:
    """One row of BATCH_SCHEMA a partition that is not read on from here.

    Args:
        positions: Partition → how far it is in the lake; one that is missing stands at 0.
        reasons: Partition → why.
        stream: The stream's name.
        batch_id: The batch's number.
        at: UTC.
    """
    rows = [
        {
            "stream": stream,
            "batch_id": batch_id,
            "source_partition": name,
            "log_id": position.log_id,
            "start_position": position.next,
            "end_position": position.next,
            "log_end_position": position.known_end,
            "started_at": at,
            "ingested_at": at,
            "retired": reason,
            "last_event": position.last_event,
            "log_end_proof": position.end_proof,
        }
        | dict.fromkeys(_COUNTS, 0)
        for name, reason in sorted(reasons.items())
        for position in [positions.get(name, Position(0))]
    ]
    return pa.Table.from_pylist(rows, schema=BATCH_SCHEMA)


def _count(table: pa.Table) -> dict[str, int]:
    """Partition → rows."""
    counts = table.group_by("source_partition").aggregate([([], "count_all")])
    return dict(zip(counts["source_partition"].to_pylist(), counts["count_all"].to_pylist(), strict=True))


def _spans(
    sizes: list[pa.Table], *, received_at: datetime, tolerance: timedelta
) -> dict[str, dict[str, object]]:
    """Partition → its bytes, and the oldest and newest event time that is believed."""
    if not sizes:
        return {}
    events = pa.concat_tables(sizes)
    times = believed_times(events["event_time"], received_at=received_at, tolerance=tolerance)
    spans = (
        events.drop_columns("event_time")
        .append_column("event_time", times)
        .group_by("source_partition")
        .aggregate([("bytes", "sum"), ("event_time", "min"), ("event_time", "max")])
    )
    return {
        row["source_partition"]: {
            "bytes_read": row["bytes_sum"],
            "first_event_time": row["event_time_min"],
            "last_event_time": row["event_time_max"],
        }
        for row in spans.to_pylist()
    }
