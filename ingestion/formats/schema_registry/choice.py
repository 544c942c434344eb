"""What `schema:` may say of a registry: prefix, latest, or a subject; and which subject is a stream's."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ingestion.errors import FormatUnavailable
from ingestion.formats.port import Surroundings
from ingestion.formats.schema_registry.registry import Registered, kept_schema, open_registry

Word = Literal["prefix", "latest"]
WORDS = ("prefix", "latest")
Strategy = Literal["topic", "record", "topic_record"]


PLACES: dict[str, Any] = {
    "anyOf": [
        {"enum": list(WORDS)},
        {"type": "object", "properties": {"subject": {"type": "string"}, "version": {"type": "integer"}},
         "required": ["subject"], "additionalProperties": False},
    ]
}  # fmt: skip
"""What may be said, for editors."""


class SubjectSchema(BaseModel):
    """A subject of the registry.

    Attributes:
        subject: Its name.
        version: Of it; the latest one where it is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(min_length=1)
    version: int | None = Field(default=None, ge=1)


Place = Word | SubjectSchema
"""Every value names its schema; beside that, which one the stream's own is."""


def is_registered(place: object) -> bool:
    """Whether what `schema:` says is in a registry."""
    return isinstance(place, SubjectSchema) or place in WORDS


def read_place(value: Any) -> Any:
    """`prefix`, `latest` or a subject; anything else as it is.

    Raises:
        ValidationError: A subject has other options.
    """
    return SubjectSchema.model_validate(value) if isinstance(value, dict) and "subject" in value else value


def subject_of(strategy: Strategy, *, topic: str, record: str, is_key: bool) -> str:
    """Under which subject the senders of a topic register; empty where that cannot be known.

    Args:
        strategy: Their rule (subject name strategy).
        topic: The topic; empty where it is not known.
        record: Full name of the record; empty where it is not known.
        is_key: It is a key's schema.
    """
    if strategy == "topic":
        return f"{topic}-{'key' if is_key else 'value'}" if topic else ""
    if strategy == "record":
        return record
    return f"{topic}-{record}" if topic and record else ""


def own_schema(
    place: Place, strategy: Strategy, around: Surroundings, *, topic: str, record: str = ""
) -> Registered | None:
    """The schema that a stream's fields are those of; None where it is not one.

    Raises:
        FormatUnavailable: The registry does not answer, or has no such subject, and none is kept.
    """
    registry = open_registry(around.settings)
    if isinstance(place, SubjectSchema):
        subject, version = place.subject, place.version
        found = registry.version(subject, version) if version else registry.latest(subject)
    else:
        subject = subject_of(strategy, topic=topic, record=record, is_key=around.is_key)
        found = registry.latest(subject) if subject else None
    if subject and found is None:
        raise FormatUnavailable(
            f"the schema registry has no subject '{subject}': register its schema, or name another one with "
            "{schema: {subject: …}}"
        )
    return found


def kept_of(name: str, place: object, around: Surroundings, *, kind: str) -> Registered | None:
    """A schema that a value has named, as it is kept here; of its subjects, the stream's own.

    Args:
        name: Its number or GUID.
        place: What `schema:` says.
        around: Where the stream is.
        kind: What the registry calls the format.
    """
    if isinstance(place, SubjectSchema):
        own = place.subject
    else:
        own = subject_of("topic", topic=around.topic, record="", is_key=around.is_key)
    found = kept_schema(name, around.settings, subject=own)
    return found if found is not None and found.kind == kind else None
