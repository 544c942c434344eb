"""What a stream may declare: frozen, validated values.

The file they are written in is read by file.py; connections and secrets are in settings.py. How to
write one: docs/adding-a-stream.md.
"""

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

RESERVED_NAMES = frozenset({"batches", "rejects", "reject_resolutions"})
STAGING_COLUMNS = frozenset(
    {
        "batch_id",
        "source_partition",
        "position",
        "event_id",
        "event_key",
        "event_at",
        "ingested_at",
        "cast_errors",
    }
)
"""Columns of every staging model; a field of such a name needs another one, with `path`."""
_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*")
_TYPE = re.compile(
    r"varchar|bigint|integer|double|boolean|timestamp|date|json|decimal\((?:[1-9]|[12]\d|3[0-8]), ?\d{1,2}\)"
)


def _identifier(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > 60:
        raise ValueError(
            f"'{value}' must be lower_snake_case (a letter, letters, digits, single underscores), at most 60"
        )
    return value


def _field_type(value: str) -> str:
    if not _TYPE.fullmatch(value):
        raise ValueError(
            f"'{value}' is no type; use varchar, bigint, integer, double, boolean, timestamp, date, json"
            " or decimal(p,s)"
        )
    return value


def _json_path(value: str) -> str:
    if not value or any(not part or '"' in part or "'" in part for part in value.split(".")):
        raise ValueError(f"'{value}' is no path; write the keys with dots between them, as in meta.line")
    return value


def _topic_filter(value: str) -> str:
    levels = value.split("/")
    whole = all(level in ("+", "#") or not set(level) & {"+", "#"} for level in levels)
    if not value or "\0" in value or not whole or "#" in levels[:-1]:
        raise ValueError(f"'{value}' is no MQTT topic filter; + stands for one level, # for all at the end")
    return value


def _start(value: object) -> object:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str) and value not in ("earliest", "latest"):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"'{value}' is neither earliest, latest nor an ISO time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def suggest(word: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt word: the one that was meant, or those that there are."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known) or 'none'}"


Name = Annotated[str, AfterValidator(_identifier)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSource(_Model):
    """Topics of the configured Kafka cluster.

    Attributes:
        kafka: One topic, several, or a pattern of topics that begins with ^.
        start: Where the stream begins.
        on_truncated: What to do when retention deleted unread events: stop, or go on behind the gap
            (which stays visible in the ledger).
    """

    kafka: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    start: Annotated[Literal["earliest", "latest"] | datetime, BeforeValidator(_start)] = "earliest"
    on_truncated: Literal["fail", "earliest"] = "fail"

    @model_validator(mode="after")
    def _topics_are_topics(self) -> "KafkaSource":
        for topic in self.kafka:
            if topic.startswith("^"):
                try:
                    re.compile(topic)
                except re.error as error:
                    raise ValueError(f"the pattern '{topic}' is not a regular expression: {error}") from None
                if len(self.kafka) > 1:
                    raise ValueError("a pattern stands alone; put the alternatives into it")
            elif not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) or topic in (".", ".."):
                raise ValueError(f"'{topic}' is no Kafka topic name; a pattern begins with ^")
        return self


class MqttSource(_Model):
    """A topic filter on the configured MQTT broker.

    Attributes:
        mqtt: Topic filter, with + and #.
        qos: 0 or 1. At 2 the client library acknowledges before we could have stored.
    """

    mqtt: Annotated[str, AfterValidator(_topic_filter)]
    qos: Annotated[int, Field(ge=0, le=1)] = 1
    start: Literal["earliest"] = "earliest"


def _source_kind(value: Any) -> str | None:
    if isinstance(value, dict):
        kinds = [kind for kind in ("kafka", "mqtt") if kind in value]
        return kinds[0] if len(kinds) == 1 else None
    return "kafka" if isinstance(value, KafkaSource) else "mqtt"


Source = Annotated[
    Annotated[KafkaSource, Tag("kafka")] | Annotated[MqttSource, Tag("mqtt")],
    Discriminator(
        _source_kind,
        custom_error_type="source_kind",
        custom_error_message="source names one of kafka and mqtt, as in {kafka: my_topic}",
    ),
]


class FieldSpec(_Model):
    """A typed field of the payload: its SQL type and the dotted path of keys to it."""

    type: Annotated[str, AfterValidator(_field_type)]
    path: Annotated[str, AfterValidator(_json_path)]


class Stream(_Model):
    """One declared stream.

    Attributes:
        name: Of the raw table, the asset and the dbt source.
        source: Where events come from.
        format: How payloads are decoded.
        event_time: The field with the event's own time; without it, the broker's timestamp counts.
        business_id: The fields that tell two deliveries of one event; staging deduplicates by them.
        fields: Typed fields that staging takes from the payload.
        max_reject_share: A batch with a larger share of rejects (0 to 1) is not loaded.
    """

    name: Name
    source: Source
    description: str = ""
    format: Literal["json"] = "json"
    event_time: str | None = None
    business_id: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    fields: dict[Name, FieldSpec] = Field(default_factory=dict)
    max_reject_share: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def kind(self) -> Literal["kafka", "mqtt"]:
        """The kind of source."""
        return "kafka" if isinstance(self.source, KafkaSource) else "mqtt"

    @model_validator(mode="before")
    @classmethod
    def _shapes(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a stream is a mapping with at least 'source'")
        value = dict(value)
        fields = value.get("fields")
        if isinstance(fields, dict):
            value["fields"] = {
                name: {"type": spec, "path": name} if isinstance(spec, str) else {"path": name} | (spec or {})
                for name, spec in fields.items()
            }
        return value

    @model_validator(mode="after")
    def _names_agree(self) -> "Stream":
        if self.name in RESERVED_NAMES:
            raise ValueError(f"'{self.name}' is the name of a table of ours; choose another")
        for name in self.fields.keys() & STAGING_COLUMNS:
            raise ValueError(
                f"field '{name}' has the name of a column of ours; call it otherwise and add 'path: {name}'"
            )
        for role, names in (
            ("event_time", (self.event_time,) if self.event_time else ()),
            ("business_id", self.business_id),
        ):
            for name in names:
                if name not in self.fields:
                    hint = suggest(name, self.fields)
                    raise ValueError(f"{role} names '{name}', which is not among the fields{hint}")
        return self
