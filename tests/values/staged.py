"""What staging shows of payloads: the decoder of ingestion, then the SQL that dbt runs, on DuckDB alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.declare.stream import Stream
from ingestion.formats.decode import decoder
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.watch.raw_events import message_id
from orchestration.dbt.casts import typed_payloads
from orchestration.dbt.meta import fields_meta

AT = datetime(2026, 3, 1, tzinfo=UTC)
"""The broker's time of every event."""


@dataclass(frozen=True)
class Fate:
    """What became of one payload, or of one element of it.

    Attributes:
        values: Field → what staging shows; empty for a reject.
        cast_errors: As staging names them.
        reject: Why it is a reject; empty where it landed.
        event_at: When it happened, as staging shows it, where the stream declares an event time.
        seconds_ahead: How far its own time lies after its receipt, where it is not believed.
        event_id: As staging has it.
    """

    values: Mapping[str, Any]
    cast_errors: tuple[str, ...]
    reject: str = ""
    event_at: Any = field(default=None, compare=False)
    seconds_ahead: float | None = field(default=None, compare=False)
    event_id: str = field(default="", compare=False)


def stage(
    fields: Mapping[str, Any],
    payloads: Sequence[str | bytes],
    *,
    text: bool = False,
    zone: str = "UTC",
) -> list[Fate]:
    """Land payloads and stage them, each as one event.

    Args:
        fields: As streams.yml declares them.
        payloads: As they were sent.
        text: Show each value as DuckDB prints it.
        zone: The session's time zone, which must not matter.
    """
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "fields": fields})
    sent = [each.encode() if isinstance(each, str) else each for each in payloads]
    return stage_events(stream, [{"value": value} for value in sent], text=text, zone=zone)


def stage_events(
    stream: Stream, events: Sequence[Mapping[str, Any]], *, text: bool = False, zone: str = "UTC"
) -> list[Fate]:
    """Land events of a stream, as a connector hands them over, and stage them.

    Args:
        stream: The stream.
        events: Of SOURCE_SCHEMA; what is not said is a partition, a position and a time.
        text: Show each value as DuckDB prints it.
        zone: The session's time zone, which must not matter.

    Returns:
        What became of each, and of each element of one; a tombstone of a stream with an envelope is left out.
    """
    rows = [
        {"source_partition": "s-0", "position": at, "event_time": AT, **event}
        for at, event in enumerate(events)
    ]
    fields = [*stream.parts, *stream.fields]
    chunk = pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA)
    decoded = decoder(stream.format)(chunk, stream="s", batch_id=1, ingested_at=AT, max_bytes=1_000_000)
    fates = {
        (row["position"], row["event_id"]): Fate({}, (), row["reason"], event_id=row["event_id"])
        for row in decoded.rejects.to_pylist()
    }
    meta = fields_meta(stream)
    shown = "".join(f', "{name}"::varchar' if text else f', "{name}"' for name in fields)
    unnest = None if stream.elements is None else list(stream.elements.steps)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"set TimeZone = '{zone}'")
        connection.register("events", decoded.events)
        rows_of = typed_payloads(
            "events", meta, event_time=stream.event_time, envelope=stream.envelope, unnest=unnest
        )
        event_at = "event_at::varchar" if text else "event_at"
        columns = f"position, event_id, cast_errors, {event_at}, clock_ahead_seconds{shown}"
        sql = f"select {columns} from ({rows_of})"
        for position, event_id, errors, at, ahead, *values in connection.execute(sql).fetchall():
            shows = dict(zip(fields, values, strict=True))
            fates[position, event_id] = Fate(shows, tuple(errors), "", at, ahead, event_id)
    return [fates[place] for place in sorted(fates, key=lambda place: (place[0], len(place[1]), place[1]))]


def stage_messages(
    declared: Mapping[str, Any], payloads: Sequence[str | bytes], *, text: bool = False
) -> list[list[Fate]]:
    """Land payloads of a stream and stage them; each may be several events.

    Args:
        declared: What streams.yml says of the stream, but for its source.
        payloads: As they were sent.
        text: Show each value as DuckDB prints it.
    """
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, **declared})
    sent = [each.encode() if isinstance(each, str) else each for each in payloads]
    return by_message(stage_events(stream, [{"value": value} for value in sent], text=text))


def by_message(fates: Sequence[Fate]) -> list[list[Fate]]:
    """Fates in their order, those of one message together."""
    groups = groupby(fates, key=lambda fate: message_id(fate.event_id))
    return [list(group) for _, group in groups]
