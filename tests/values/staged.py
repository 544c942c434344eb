"""What staging shows of payloads: the decoder of ingestion, then the SQL that dbt runs, on DuckDB alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.declare.stream import Stream
from ingestion.formats.decode import decoder
from ingestion.log.envelope import SOURCE_SCHEMA
from orchestration.dbt.casts import typed_payloads
from orchestration.dbt.sources import field_meta

AT = datetime(2026, 3, 1, tzinfo=UTC)
"""The broker's time of every event."""


@dataclass(frozen=True)
class Fate:
    """What became of one payload.

    Attributes:
        values: Field → what staging shows; empty for a reject.
        cast_errors: As staging names them.
        reject: Why it is a reject; empty where it landed.
        event_at: When it happened, as staging shows it.
        seconds_ahead: How far its own time lies after its receipt, where it is not believed.
    """

    values: Mapping[str, Any]
    cast_errors: tuple[str, ...]
    reject: str = ""
    event_at: Any = None
    seconds_ahead: float | None = None


def stage(
    fields: Mapping[str, Any],
    payloads: Sequence[str | bytes],
    *,
    text: bool = False,
    zone: str = "UTC",
    event_time: str | None = None,
) -> list[Fate]:
    """Land payloads and stage them.

    Args:
        fields: As streams.yml declares them.
        payloads: As they were sent.
        text: Show each value as DuckDB prints it.
        zone: The session's time zone, which must not matter.
        event_time: The field with the event's own time.
    """
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "fields": fields})
    sent = [each.encode() if isinstance(each, str) else each for each in payloads]
    rows = [
        {"source_partition": "s-0", "position": at, "value": value, "event_time": AT}
        for at, value in enumerate(sent)
    ]
    chunk = pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA)
    decoded = decoder("json")(chunk, stream="s", batch_id=1, ingested_at=AT, max_bytes=1_000_000)
    fates: dict[int, Fate] = {
        row["position"]: Fate({}, (), row["reason"]) for row in decoded.rejects.to_pylist()
    }
    meta = {name: field_meta(field) for name, field in stream.fields.items()}
    shown = ", ".join(f'"{name}"::varchar' if text else f'"{name}"' for name in fields)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"set TimeZone = '{zone}'")
        connection.register("events", decoded.events)
        events = typed_payloads("events", meta, event_time=event_time)
        event_at = "event_at::varchar" if text else "event_at"
        sql = f"select position, cast_errors, {event_at}, clock_ahead_seconds, {shown} from ({events})"
        for position, errors, at, ahead, *values in connection.execute(sql).fetchall():
            shows = dict(zip(fields, values, strict=True))
            fates[position] = Fate(shows, tuple(errors), event_at=at, seconds_ahead=ahead)
    return [fates[at] for at in range(len(payloads))]
