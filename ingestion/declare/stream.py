"""What a stream may declare: frozen, validated values.

The file they are written in is read by file.py; what `source` may say belongs to each kind's connector.
How to write one: docs/adding-a-stream.md.
"""

import difflib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ingestion.connectors.registry import connector, kinds
from ingestion.connectors.spec import OneOrMore, SourceSpec, TopicPlace
from ingestion.declare.envelopes import (
    ENVELOPES,
    EnvelopeName,
    Part,
    check_extension,
    defaults_of,
    envelope_of,
)
from ingestion.declare.fields import PATH_SCHEMA, STAGING_COLUMNS, FieldSpec, Name
from ingestion.declare.from_schema import fields_of, read_format
from ingestion.declare.labels import Owners, Tags
from ingestion.declare.origins import completed
from ingestion.declare.paths import WHOLE_PAYLOAD, Place, parse_path
from ingestion.declare.sequence import SequenceSpec, check_sequence
from ingestion.errors import ConfigError
from ingestion.formats.registry import FormatChoice, choose_format

RESERVED_NAMES = frozenset({"batches", "rejects", "reject_resolutions"})
DEFAULT_FORMAT = choose_format("json")
_DAY_MINUTES = 24 * 60
_CENTURY_MINUTES = 36_525 * _DAY_MINUTES


def suggest(word: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt word: the one that was meant, or those that there are."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known) or 'none'}"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _read_source(value: Any) -> SourceSpec:
    """The declaration of the kind whose name is a key."""
    if isinstance(value, SourceSpec):
        return value
    named = [kind for kind in kinds() if kind in value] if isinstance(value, dict) else []
    if len(named) != 1:
        *others, last = kinds()
        raise PydanticCustomError(
            "source_kind",
            "source names one of {kinds}, as in {example}",
            {"kinds": f"{', '.join(others)} and {last}", "example": f"{{{others[0]}: my_topic}}"},
        )
    return connector(named[0]).spec.model_validate(value)


def _only_topic(source: Any) -> str:
    """The topic that a source reads; empty where that is not one, or nothing that can be read."""
    try:
        return _read_source(source).destination()
    except (ConfigError, PydanticCustomError, ValidationError):
        return ""


def _unnest_path(value: str) -> str:
    if parse_path(value).encloses:
        raise ValueError(f"'unnest: {value}' starts in the payload already; leave ^ out")
    return value


class CastErrorLimits(_Model):
    """How many values may not be of their type, as shares (0 to 1) of a stream's events in an hour.

    Attributes:
        warn: A larger share, of events or of one field, warns.
        fail: A larger share fails the check; none by default.
    """

    warn: Annotated[float, Field(ge=0, le=1)] = 0.0
    fail: Annotated[float, Field(ge=0, le=1)] | None = None


class Stream(_Model):
    """One declared stream.

    Attributes:
        name: Of the raw table, the asset and the dbt source.
        source: Where events come from.
        format: How payloads are decoded: a word, or one format with its options.
        key: How keys are decoded, as `format` says it of values; without it they stay as they came.
        envelope: What the sending system puts round each payload; the fields are then of what is inside.
        unnest: Path to an array whose elements are the events; a dot where that is the whole payload.
        event_time: The field with the event's own time; without it, the broker's timestamp counts.
        business_id: The fields that tell two deliveries of one event; staging deduplicates by them.
        on_conflict: What staging keeps of deliveries with one business id and several payloads.
        dedup_window_minutes: How far apart the event times of two deliveries of one event may be; beyond,
            staging has both.
        clock_tolerance_minutes: How long after its receipt an event's time is still believed; beyond, staging
            takes the time of receipt.
        fields: Typed fields that staging takes from the payload.
        max_reject_share: A batch with a larger share of rejects (0 to 1) is not loaded.
        cast_errors: Which share of values that are not of their type warns, and which fails.
        sequence: How its senders number their events, so that missing ones show.
        owners: Who answers for it: addresses and teams, as in team:plant.
        tags: Words to find it by, in Dagster and with `dbt ls -s tag:…`.
    """

    name: Name
    source: Annotated[SerializeAsAny[SourceSpec], PlainValidator(_read_source)]
    description: str = ""
    format: Annotated[FormatChoice, PlainValidator(read_format), WithJsonSchema({})] = DEFAULT_FORMAT
    key: Annotated[FormatChoice | None, PlainValidator(read_format), WithJsonSchema({})] = None
    envelope: EnvelopeName | None = None
    unnest: Annotated[str, AfterValidator(_unnest_path), WithJsonSchema(PATH_SCHEMA)] | None = None
    event_time: str | None = None
    business_id: OneOrMore = ()
    on_conflict: Literal["first", "last", "keep_all", "fail"] = "first"
    dedup_window_minutes: Annotated[int, Field(ge=0, le=_DAY_MINUTES)] | None = None
    clock_tolerance_minutes: Annotated[int, Field(ge=0, le=_CENTURY_MINUTES)] = 10
    fields: dict[Name, FieldSpec] = Field(default_factory=dict)
    max_reject_share: Annotated[float, Field(ge=0, le=1)] | None = None
    cast_errors: CastErrorLimits = CastErrorLimits()
    sequence: SequenceSpec | None = None
    owners: Owners = ()
    tags: Tags = ()

    @property
    def kind(self) -> str:
        """The kind of source."""
        return self.source.kind

    @property
    def clock_tolerance(self) -> timedelta:
        """How long after its receipt an event's time is still believed."""
        return timedelta(minutes=self.clock_tolerance_minutes)

    @property
    def elements(self) -> Place | None:
        """The array whose elements are the events; None where a payload is one event."""
        if self.unnest is not None:
            return parse_path(self.unnest)
        return Place(()) if self.format.options.makes_arrays else None

    @property
    def parts(self) -> Mapping[str, Part]:
        """The columns of staging that its envelope gives."""
        envelope = envelope_of(self.envelope)
        return envelope.parts if envelope else {}

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that identify an event: the business id, of a change also which change it is."""
        envelope = envelope_of(self.envelope)
        return (*self.business_id, *envelope.also) if envelope and self.business_id else self.business_id

    @property
    def topic_place(self) -> TopicPlace | None:
        """Where raw has the topic of an event; None for a source without topics."""
        return self.source.topic_place

    @model_validator(mode="before")
    @classmethod
    def _shapes(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a stream is a mapping with at least 'source'")
        value = dict(value)
        if "format" in value and value.get("fields") is None:
            value["fields"] = fields_of(
                value["format"],
                context=info.context,
                topic=_only_topic(value.get("source")),
                taken=STAGING_COLUMNS,
            )
        fields = value.get("fields")
        if isinstance(fields, dict):
            value["fields"] = {
                name: {"type": spec, "path": name} if isinstance(spec, str) else completed(name, spec or {})
                for name, spec in fields.items()
            }
        envelope = value.get("envelope")
        if envelope in ENVELOPES:
            value |= defaults_of(str(envelope), value)
        return value

    @model_validator(mode="after")
    def _names_agree(self) -> "Stream":
        if self.name in RESERVED_NAMES:
            raise ValueError(f"'{self.name}' is the name of a table that Millrace keeps; choose another")
        parts = self.parts
        for name in self.fields.keys() & (STAGING_COLUMNS | parts.keys()):
            raise ValueError(
                f"field '{name}' has the name of a column that staging adds; rename it and add 'path: {name}'"
            )
        for role, names in (
            ("event_time", (self.event_time,) if self.event_time else ()),
            ("business_id", self.business_id),
        ):
            for name in names:
                if name not in self.fields and name not in parts:
                    hint = suggest(name, [*self.fields, *parts])
                    raise ValueError(f"{role} names '{name}', which is not among the fields{hint}")
        if self.sequence is not None:
            types = {name: part.type for name, part in parts.items()}
            types |= {name: field.type for name, field in self.fields.items()}
            missing = check_sequence(self.sequence, types)
            if missing is not None:
                hint = suggest(missing, types)
                raise ValueError(f"sequence names '{missing}', which is not among the fields{hint}")
        return self

    @model_validator(mode="after")
    def _places_exist(self) -> "Stream":
        if self.format.options.makes_arrays and self.unnest not in (None, WHOLE_PAYLOAD):
            raise ValueError(
                f"each line of a message is an event already; remove 'unnest: {self.unnest}', or 'lines'"
            )
        if self.envelope and self.elements is not None:
            several = "'unnest'" if self.unnest is not None else "'lines'"
            raise ValueError(
                f"{several} cannot stand beside 'envelope: {self.envelope}', which says what the events are: "
                "remove one of them"
            )
        for name, field in self.fields.items():
            if field.topic is not None and self.source.topic_place is None:
                raise ValueError(f"field '{name}' is of the topic, and a source of kind {self.kind} has none")
            check_extension(name, field, self.envelope)
            if field.place and field.place.encloses and self.elements is None:
                raise ValueError(
                    f"field '{name}' has the path '{field.path}', and ^ is what encloses an element: declare "
                    f"'unnest', or write [\"{field.path}\"] for a key of that name"
                )
        return self
