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
    """

    values: Mapping[str, Any]
    cast_errors: tuple[str, ...]
    reject: str = ""


def stage(
    fields: Mapping[str, Any], payloads: Sequence[str | bytes], *, text: bool = False, zone: str = "UTC"
) -> list[Fate]:
    """Land payloads and stage them.

    Args:
        fields: As streams.yml declares them.
        payloads: As they were sent.
        text: Show each value as DuckDB prints it.
        zone: The session's time zone, which must not matter.
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
        sql = f"select position, cast_errors, {shown} from ({typed_payloads('events', meta)})"
        for position, errors, *values in connection.execute(sql).fetchall():
            fates[position] = Fate(dict(zip(fields, values, strict=True)), tuple(errors))
    return [fates[at] for at in range(len(payloads))]
