"""What streams.yml says of a stream that comes from RabbitMQ: a queue, or a stream queue."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from ingestion.connectors.spec import OneOrMore, SourceSpec, TopicPlace
from ingestion.errors import ConfigError

_STREAM = "stream:"
_NAME_BYTES = 255
_Name = Annotated[str, Field(min_length=1)]


class Place(BaseModel):
    """A queue or a stream queue; one of them.

    Attributes:
        queue: A classic or quorum queue: its messages are collected, and leave it once they are durable here.
        stream: A stream queue: it is read as a log, and keeps its messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: _Name | None = None
    stream: _Name | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Place":
        if (self.queue is None) == (self.stream is None):
            raise ValueError("name either a queue or a stream, as in {queue: orders} or {stream: events}")
        if len(self.name.encode()) > _NAME_BYTES:
            raise ValueError(f"the name of a queue has {_NAME_BYTES} bytes at most")
        if self.name.startswith("amq."):
            raise ValueError(f"'{self.name}': names that begin with amq. are the broker's own")
        return self

    @property
    def name(self) -> str:
        """Of the queue or stream."""
        return self.queue or self.stream or ""

    def __str__(self) -> str:
        return f"{_STREAM}{self.stream}" if self.stream else self.name


def place_of(text: str) -> Place:
    """`orders` names a queue, `stream:events` a stream."""
    if text.startswith(_STREAM):
        return Place(stream=text.removeprefix(_STREAM))
    return Place(queue=text)


def _as_place(value: Any) -> Any:
    return place_of(value) if isinstance(value, str) else value


_NAME_SCHEMA = {"type": "string", "minLength": 1}
_PLACE_SCHEMA = {
    "anyOf": [
        _NAME_SCHEMA,
        *(
            {
                "type": "object",
                "properties": {word: _NAME_SCHEMA},
                "required": [word],
                "additionalProperties": False,
            }
            for word in ("queue", "stream")
        ),
    ]
}
_BIND_SCHEMA = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}


class RabbitSource(SourceSpec):
    """A queue or a stream queue of the configured RabbitMQ.

    Attributes:
        rabbitmq: {queue: NAME} is collected, {stream: NAME} is read as a log.
        start: Where a stream begins; a queue has no choice.
        offset: Of a stream: begin at this offset instead.
        on_truncated: When retention deleted unread messages of a stream: stop, or go on after the gap.
        prefetch: How many unacknowledged messages the broker may send ahead.
        consumer: Of a queue: share it with other consumers, or refuse to run beside one.
        create: Make the queue when it is missing, durable, of this type; without, nothing is made.
        bind: Exchange → routing keys that are bound to the queue when it is made.
        exchange_type: Make the exchanges of `bind`, too, durable, of this type.
    """

    kind: ClassVar[str] = "rabbitmq"
    topic_place = TopicPlace("event_key", ".")  # the routing key

    rabbitmq: Annotated[Place, BeforeValidator(_as_place), WithJsonSchema(_PLACE_SCHEMA)]
    offset: Annotated[int, Field(ge=0)] | None = None
    on_truncated: Literal["fail", "earliest"] = "fail"
    prefetch: Annotated[int, Field(ge=1, le=65535)] = 2000
    consumer: Literal["competing", "exclusive"] = "competing"
    create: Literal["classic", "quorum", "stream"] | None = None
    bind: Annotated[dict[str, OneOrMore], WithJsonSchema(_BIND_SCHEMA)] = Field(default_factory=dict)
    exchange_type: Literal["direct", "fanout", "topic", "headers"] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "RabbitSource":
        if self.rabbitmq.stream is None:
            for option, given in (
                ("start", self.start != "earliest"),
                ("offset", self.offset is not None),
                ("on_truncated", self.on_truncated != "fail"),
            ):
                if given:
                    raise ValueError(f"'{option}' is for streams: a queue gives each message once")
        elif self.consumer != "competing":
            raise ValueError("'consumer' is for queues: whoever reads a stream takes nothing from others")
        if self.offset is not None and self.start != "earliest":
            raise ValueError("'start' and 'offset' both say where to begin: leave one out")
        if self.create and (self.create == "stream") != (self.rabbitmq.stream is not None):
            raise ValueError(f"create: {self.create} makes another type than {self.rabbitmq} is declared as")
        if (self.bind or self.exchange_type) and not (self.create and self.bind):
            raise ValueError(
                "'bind' and 'exchange_type' come with 'create': nothing is made unless it is asked"
            )
        return self

    @property
    def origin(self) -> str:
        """The queue or stream."""
        return f"RabbitMQ {'stream' if self.rabbitmq.stream else 'queue'} {self.rabbitmq.name}"

    @property
    def is_collected(self) -> bool:
        """Queues are; a stream keeps its messages."""
        return self.rabbitmq.stream is None

    @property
    def skips_truncated(self) -> bool:
        """As `on_truncated` says."""
        return self.on_truncated == "earliest"

    def covers(self, partition: str) -> bool:
        """Whether it is the partition of this stream, or of the spool."""
        return self.is_collected or partition == self.rabbitmq.name

    def destination(self, named: str = "") -> str:
        """The queue or stream itself, through the default exchange."""
        if named and place_of(named) != self.rabbitmq:
            raise ConfigError(f"the stream does not read '{named}': it reads {self.rabbitmq}")
        return str(self.rabbitmq)
