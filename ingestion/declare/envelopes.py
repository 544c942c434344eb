"""Envelopes that other systems put round a payload: what each gives staging besides the declared fields.

The SQL that opens them: orchestration/dbt/package/macros/debezium.sql and cloudevents.sql.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ingestion.declare.origins import Origin

EnvelopeName = Literal["debezium", "cloudevents"]
ENVELOPES: tuple[str, ...] = get_args(EnvelopeName)


@dataclass(frozen=True)
class Part:
    """A column that an envelope gives.

    Attributes:
        type: As of a field.
        description: What it holds.
        unit: Of a time's numbers.
        is_needed: Every event has it; where it is missing `cast_errors` names it.
    """

    type: str
    description: str
    unit: str | None = None
    is_needed: bool = False


@dataclass(frozen=True)
class Envelope:
    """One envelope.

    Attributes:
        parts: Column → what it is.
        event_time: The column with the event's time, where the stream declares no other.
        business_id: The columns that identify an event, where the stream declares no others.
        also: Columns that identify an event together with those that the stream declares.
        has_extensions: Its events may have attributes of other names than those of the parts.
    """

    parts: Mapping[str, Part]
    event_time: str
    business_id: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    has_extensions: bool = False


_DEBEZIUM = Envelope(
    {
        "op": Part(
            "varchar",
            "What happened: c insert, u update, d delete, r read by a snapshot, t truncate, m message.",
            is_needed=True,
        ),
        "before": Part("json", "The row before the change, as sent."),
        "after": Part("json", "The row after the change, as sent."),
        "source_position": Part(
            "varchar", "Where the change is in the database's log; later ones sort higher."
        ),
        "source_table": Part("varchar", "The schema, or database, and the table."),
        "source_at": Part("timestamp", "When the database made the change, UTC.", unit="us"),
        "captured_at": Part("timestamp", "When Debezium read the change, UTC.", unit="us"),
    },
    event_time="source_at",
    also=("source_position", "op"),
)
_CLOUDEVENTS = Envelope(
    {
        "ce_id": Part("varchar", "The event's id, unique for its source.", is_needed=True),
        "ce_source": Part("varchar", "Where the event happened.", is_needed=True),
        "ce_type": Part("varchar", "The kind of event.", is_needed=True),
        "ce_subject": Part("varchar", "What the event is about."),
        "ce_time": Part("timestamp", "When it happened, UTC."),
        "ce_datacontenttype": Part("varchar", "The media type of its data."),
        "ce_dataschema": Part("varchar", "The schema of its data."),
    },
    event_time="ce_time",
    business_id=("ce_source", "ce_id"),
    has_extensions=True,
)
_KNOWN: Mapping[str, Envelope] = {"debezium": _DEBEZIUM, "cloudevents": _CLOUDEVENTS}


def envelope_of(name: str | None) -> Envelope | None:
    """An envelope by its name; None for none."""
    return None if name is None else _KNOWN[name]


def check_extension(field: str, said: Origin, envelope: str | None) -> None:
    """Check that a field which is to be an extension attribute can be one.

    Args:
        field: Its name.
        said: Where it comes from.
        envelope: Of its stream.

    Raises:
        ValueError: The events have none, or the attribute is a part of every event.
    """
    if said.extension is None:
        return
    known = envelope_of(envelope)
    if known is None or not known.has_extensions:
        raise ValueError(f"field '{field}' is an extension attribute, which only 'envelope: cloudevents' has")
    if f"ce_{said.extension}" in known.parts:
        raise ValueError(
            f"field '{field}': '{said.extension}' is not an extension attribute; staging has it as "
            f"'ce_{said.extension}' without a declaration"
        )
    if said.extension in ("data", "specversion"):
        raise ValueError(f"field '{field}': '{said.extension}' is not an extension attribute of an event")


def defaults_of(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What an envelope says of a stream where the stream itself does not."""
    envelope = _KNOWN[name]
    wanted = {"event_time": envelope.event_time, "business_id": envelope.business_id}
    return {key: value for key, value in wanted.items() if value and not said.get(key)}
