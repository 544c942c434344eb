"""What a stream's `source` says, whatever its kind; each kind declares the rest in its `declare.py`."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from ingestion.log.port import Start


def _as_start(value: object) -> object:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str) and value not in ("earliest", "latest"):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"'{value}' is neither earliest, latest nor an ISO time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


def as_tuple(value: object) -> object:
    """A word as a list of one; anything else stays as it is."""
    return (value,) if isinstance(value, str) else value


_WORDS_SCHEMA: dict[str, object] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}
OneOrMore = Annotated[tuple[str, ...], BeforeValidator(as_tuple), WithJsonSchema(_WORDS_SCHEMA)]
"""Several words, or one written without a list."""


_START_SCHEMA: dict[str, object] = {
    "anyOf": [{"enum": ["earliest", "latest"]}, {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}"}]
}


class TopicPlace(NamedTuple):
    """Where raw has the topic that an event was sent to.

    Attributes:
        column: The topic is the event's key, or the partition's name up to its number.
        separator: What stands between two levels of a topic.
    """

    column: Literal["event_key", "source_partition"]
    separator: str


class SourceSpec(BaseModel):
    """What a stream's `source` says; each kind adds its key, which is the kind's name, and its options.

    Attributes:
        kind: The kind; a key of this name holds what is read.
        topic_place: Where an event's topic is; None for a kind without topics.
        start: Where the stream begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    topic_place: ClassVar[TopicPlace | None] = None

    start: Annotated[Start, BeforeValidator(_as_start), WithJsonSchema(_START_SCHEMA)] = "earliest"

    @property
    def origin(self) -> str:
        """Where events come from, as in `Kafka orders`."""
        raise NotImplementedError

    @property
    def is_collected(self) -> bool:
        """Whether a collector has to listen for it, where its kind has one (CollectingConnector)."""
        return True

    @property
    def is_shared(self) -> bool:
        """Whether several collectors may share its events: its broker gives each one to one of them."""
        return False

    @property
    def skips_truncated(self) -> bool:
        """Whether unread events that retention deleted are given up: the stream goes on after the gap."""
        return False

    def covers(self, partition: str) -> bool:
        """Whether the declaration covers a partition that the stream has read once."""
        return True

    def absent(self, partitions: Collection[str]) -> tuple[str, ...]:
        """The places that are named here and of which the broker has nothing.

        Args:
            partitions: What the log holds.
        """
        return ()

    def destination(self, named: str = "") -> str:
        """Where a sender puts an event that this source reads.

        Args:
            named: The user's choice; empty where the source itself names one place.

        Raises:
            ConfigError: The source names several places and nothing was chosen, or it does not read what
                was chosen.
        """
        raise NotImplementedError
