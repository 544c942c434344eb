"""Declared streams → dbt_project/models/sources/streams.yml, so that SQL needs no second list of them.

Typing the payload is SQL's work (package/macros/typed_events.sql). Nothing here imports dbt or Dagster.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from ingestion.connectors.port import TopicPlace
from ingestion.declare.envelopes import Part
from ingestion.declare.times import pattern_of
from ingestion.formats.decode import reasons

SOURCES_FILE = Path("models") / "sources" / "streams.yml"
_HEADER = "# Written by Millrace from streams.yml when that changes. Edit that file, not this one.\n"

_QUIET_HOURS = 24
"""`dbt source freshness` warns about a stream that brought nothing for so long."""
_MAY_BE_OLD: Mapping[str, Any] = {"freshness": None}

_POSITION = {
    "batch_id": "Number of the batch within its stream, counting up in commit order.",
    "source_partition": "The log's partition, as in orders-0.",
    "position": "Position within the partition.",
    "event_id": "Partition and position, as in orders-0@17: the event's identity.",
    "event_key": "The key it was sent with; for a source without keys, the topic.",
}
_ARRIVAL = {
    "headers": "The message's headers, a JSON object.",
    "event_time": "The broker's timestamp, UTC.",
    "ingested_at": "When its batch was read, UTC.",
    "_dlt_load_id": "The load that brought it.",
}
_EVENT_COLUMNS = (
    _POSITION
    | {
        "payload": "The payload as JSON text; null is a tombstone.",
        "payload_raw": "The payload's bytes, where they are not the text itself.",
    }
    | _ARRIVAL
)
_REJECT_COLUMNS = (
    {"stream": "The stream it was meant for."}
    | _POSITION
    | {
        "payload_raw": "The bytes as they came; null above the size limit.",
        "payload_bytes": "Size of the payload, bytes.",
        "reason": f"Why it was refused: {', '.join(sorted(reasons()))}.",
        "detail": "What exactly was wrong.",
    }
    | _ARRIVAL
)
_BATCH_COLUMNS = {
    "stream": "The stream.",
    "batch_id": _POSITION["batch_id"],
    "source_partition": _POSITION["source_partition"],
    "log_id": "Identity of the log; a topic that is made again gets another one.",
    "start_position": "First position of the batch.",
    "end_position": "Position after the last one of the batch.",
    "log_end_position": "The log's end when the batch was planned.",
    "events_read": "Events read: landed plus rejected.",
    "events_landed": "Events in the raw table.",
    "events_rejected": "Events in the rejects.",
    "bytes_read": "Payload bytes read.",
    "first_event_time": "Earliest plausible broker timestamp of the batch, UTC.",
    "last_event_time": "Latest plausible broker timestamp of the batch, UTC.",
    "started_at": "When reading began, UTC.",
    "ingested_at": _ARRIVAL["ingested_at"],
    "positions_skipped": "Positions right before the first one that are lost: nobody read them.",
    "retired": "Why the partition is not read on from here; null while it is.",
    "last_event": "Position and checksum of the last event before end_position; the next batch compares it.",
    "log_end_proof": "By what the log itself recognises its end at log_end_position; empty: by nothing.",
    "_dlt_load_id": _ARRIVAL["_dlt_load_id"],
}

STAGING_COLUMNS = {
    **_POSITION,
    "event_at": "When it happened, UTC: the first plausible of the declared field, the broker's timestamp "
    "and ingested_at.",
    "clock_ahead_seconds": "How far the time that was not plausible lies after the receipt; else null.",
    "ingested_at": _ARRIVAL["ingested_at"],
    "payload_hash": "Where the stream has a business id: equal for deliveries of one payload.",
    "cast_errors": "The null fields whose type cannot hold what was sent, or whose key is unclear.",
}
"""What every staging model has besides the declared fields."""

_RESOLUTION_COLUMNS = {
    "stream": "The stream.",
    "event_id": _POSITION["event_id"],
    "batch_id": "The batch that rejected it; of a replayed event, the batch that landed it.",
    "outcome": "landed, dismissed, or replayed: landed by a replay without having been a reject.",
    "landed_batch_id": "The batch that landed it; null for a dismissed one.",
    "resolved_at": "When, UTC.",
    "note": "Why it was dismissed.",
    "_dlt_load_id": _ARRIVAL["_dlt_load_id"],
}


class FieldLike(Protocol):
    """A typed field."""

    @property
    def type(self) -> str:
        """SQL type."""

    @property
    def path(self) -> str:
        """Keys to the value in the payload, with dots between them; empty where it is not from there."""

    @property
    def key(self) -> bool | str | None:
        """Of the event's key, whole or a path in it."""

    @property
    def topic(self) -> bool | int | None:
        """Of the topic, whole or a level of it."""

    @property
    def header(self) -> str | None:
        """A header's name."""

    @property
    def broker_time(self) -> bool | None:
        """Whether it is the broker's time stamp."""

    @property
    def extension(self) -> str | None:
        """The name of a CloudEvent's extension attribute."""

    @property
    def unit(self) -> str | None:
        """Of a time's numbers since 1970."""

    @property
    def format(self) -> str | None:
        """Of a time's text."""

    @property
    def zone(self) -> str | None:
        """Of a time without an offset."""

    @property
    def encoding(self) -> str | None:
        """Of a number's bytes."""


class SequenceLike(Protocol):
    """A declared sequence."""

    def meta(self) -> dict[str, Any]:
        """What the macros need to know of it."""


class StreamLike(Protocol):
    """What this module needs to know of a declared stream."""

    @property
    def name(self) -> str:
        """Name of the raw table."""

    @property
    def description(self) -> str:
        """One sentence about the stream."""

    @property
    def fields(self) -> Mapping[str, FieldLike]:
        """The typed fields by name."""

    @property
    def topic_place(self) -> TopicPlace | None:
        """Where raw has the topic of an event."""

    @property
    def envelope(self) -> str | None:
        """What the sending system puts round each payload."""

    @property
    def parts(self) -> Mapping[str, Part]:
        """The columns that the envelope gives."""

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that identify an event."""

    @property
    def event_time(self) -> str | None:
        """The field that holds the event's own time."""

    @property
    def business_id(self) -> tuple[str, ...]:
        """The fields that identify an event, so that a second delivery of it is recognised."""

    @property
    def on_conflict(self) -> str:
        """What staging keeps of deliveries with one business id and several payloads."""

    @property
    def dedup_window_minutes(self) -> int | None:
        """How far apart the event times of two deliveries of one event may be."""

    @property
    def clock_tolerance_minutes(self) -> int:
        """How long after its receipt an event's time is still believed."""

    @property
    def sequence(self) -> "SequenceLike | None":
        """How its senders number their events."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Who answers for it."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Words to select it by."""


def render_sources(streams: Iterable[StreamLike]) -> str:
    """Render the dbt source `raw`: one table per stream, and the three tables that all streams share.

    Args:
        streams: The declared streams, in the order of the file.

    Returns:
        YAML text; equal for equal streams.
    """
    tables = [_stream_table(stream) for stream in streams]
    tables.append(
        _table(
            "batches",
            "The ledger: which positions each batch holds. One row per batch and partition.",
            _BATCH_COLUMNS,
        )
    )
    tables.append(
        _table(
            "rejects",
            "What could not be decoded, with the reason. One row per event.",
            _REJECT_COLUMNS,
            config=_MAY_BE_OLD,
        )
    )
    tables.append(
        _table(
            "reject_resolutions",
            "What became of rejects and of replayed events. One row per event.",
            _RESOLUTION_COLUMNS,
            config=_MAY_BE_OLD,
        )
    )
    source = {
        "name": "raw",
        "description": "Events as they came, each exactly once; only Millrace writes here.",
        "database": "lake",
        "schema": "raw",
        "config": {
            "loaded_at_field": "ingested_at",
            "freshness": {"warn_after": {"count": _QUIET_HOURS, "period": "hour"}},
        },
        "tables": tables,
    }
    document = {"version": 2, "sources": [source]}
    return _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def write_sources(streams: Iterable[StreamLike], project_dir: Path) -> Path:
    """Write the rendered sources into a dbt project, atomically and only when they changed.

    An unchanged file keeps its time, so dbt's partial parsing has nothing to do.

    Args:
        streams: The declared streams.
        project_dir: Folder of dbt_project.yml.

    Returns:
        Path of the file.
    """
    path = project_dir / SOURCES_FILE
    replace_text(path, render_sources(streams))
    return path


def replace_text(path: Path, text: str) -> None:
    """Write a file atomically, and only if its text changes."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def field_meta(field: FieldLike, place: TopicPlace | None = None) -> dict[str, Any]:
    """What the macros need to know of a field; what is not declared is left out.

    Args:
        field: The field.
        place: Where raw has the topics of its stream.
    """
    topic = None
    if field.topic is not None and place is not None:
        topic = {"level": field.topic, "column": place.column, "separator": place.separator}
    said = {
        "type": field.type,
        "path": field.path or None,
        "key": field.key,
        "topic": topic,
        "header": field.header,
        "broker_time": field.broker_time,
        "extension": field.extension,
        "unit": field.unit,
        "format": field.format,
        "pattern": pattern_of(field.format) if field.format else None,
        "zone": field.zone,
        "encoding": field.encoding,
    }
    return {name: value for name, value in said.items() if value is not None}


def fields_meta(stream: StreamLike) -> dict[str, dict[str, Any]]:
    """What the macros need to know of a stream's columns: those of its envelope, and the declared fields."""
    parts = {
        name: {"type": part.type, "envelope": name}
        | ({"unit": part.unit} if part.unit else {})
        | ({"is_needed": True} if part.is_needed else {})
        for name, part in stream.parts.items()
    }
    return parts | {name: field_meta(field, stream.topic_place) for name, field in stream.fields.items()}


def _stream_table(stream: StreamLike) -> dict[str, Any]:
    meta = {
        "fields": fields_meta(stream),
        "event_time": stream.event_time,
        "business_id": list(stream.business_id),
        "on_conflict": stream.on_conflict,
        "dedup_window_minutes": stream.dedup_window_minutes,
        "clock_tolerance_minutes": stream.clock_tolerance_minutes,
        **({"envelope": stream.envelope, "identity": list(stream.identity)} if stream.envelope else {}),
        **({"owner": list(stream.owners)} if stream.owners else {}),
    }
    config = {"tags": list(stream.tags)} if stream.tags else None
    prose = stream.description.replace("{", "(").replace("}", ")")  # dbt would take braces for Jinja
    description = f"{prose} One row per event.".strip()
    return _table(stream.name, description, _EVENT_COLUMNS, meta=meta, config=config)


def _table(
    name: str,
    description: str,
    columns: Mapping[str, str],
    *,
    meta: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "config": {**(config or {}), "meta": {**(meta or {}), "dagster": {"asset_key": ["raw", name]}}},
        "columns": [{"name": column, "description": text} for column, text in columns.items()],
    }
