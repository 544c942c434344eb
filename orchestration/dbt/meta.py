"""What the macros need to know of a stream and its fields: `meta` of the dbt sources.

Where that is written: sources.py. Nothing here imports dbt or Dagster.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from ingestion.connectors.spec import TopicPlace
from ingestion.declare.envelopes import Part
from ingestion.declare.paths import WHOLE_PAYLOAD, Place, parse_path
from ingestion.declare.times import pattern_of


class FieldLike(Protocol):
    """A typed field."""

    @property
    def type(self) -> str:
        """SQL type."""

    @property
    def path(self) -> str:
        """Where it is in the payload (ingestion/declare/paths.py); empty where it is not from there."""

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

    @property
    def description(self) -> str:
        """What it means; may be empty."""


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
    def elements(self) -> Place | None:
        """The array whose elements are the events."""

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
    def sequence(self) -> SequenceLike | None:
        """How its senders number their events."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Who answers for it."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Words to select it by."""


def field_meta(field: FieldLike, topics: TopicPlace | None = None) -> dict[str, Any]:
    """What the macros need to know of a field; what is not declared is left out.

    Args:
        field: The field.
        topics: Where raw has the topics of its stream.
    """
    topic = None
    if field.topic is not None and topics is not None:
        topic = {"level": field.topic, "column": topics.column, "separator": topics.separator}
    path = field.path or (field.key if isinstance(field.key, str) else "")
    place = parse_path(path) if path else Place(())
    # What is nothing but keys with dots between them, SQL takes apart itself.
    is_plain = path in ("", WHOLE_PAYLOAD, ".".join(map(str, place.steps)))
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
        "steps": None if is_plain else list(place.steps),
        "encloses": place.encloses or None,
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


def _descriptions(stream: StreamLike) -> dict[str, str]:
    """What is said of fields; without braces, which dbt would take for Jinja."""
    return {
        name: field.description.replace("{", "(").replace("}", ")")
        for name, field in stream.fields.items()
        if field.description
    }


def stream_meta(stream: StreamLike) -> dict[str, Any]:
    """What the macros need to know of a stream."""
    return {
        "fields": fields_meta(stream),
        **({"descriptions": described} if (described := _descriptions(stream)) else {}),
        "event_time": stream.event_time,
        "business_id": list(stream.business_id),
        "on_conflict": stream.on_conflict,
        "dedup_window_minutes": stream.dedup_window_minutes,
        "clock_tolerance_minutes": stream.clock_tolerance_minutes,
        **({"unnest": list(stream.elements.steps)} if stream.elements is not None else {}),
        **({"envelope": stream.envelope, "identity": list(stream.identity)} if stream.envelope else {}),
        **({"owner": list(stream.owners)} if stream.owners else {}),
    }
