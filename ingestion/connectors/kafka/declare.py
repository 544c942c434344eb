"""What streams.yml says of a stream that is read from Kafka."""

import re
from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema, model_validator

from ingestion.connectors.spec import OneOrMore, SourceSpec, TopicPlace
from ingestion.errors import ConfigError

_TOPIC = r"[A-Za-z0-9._-]{1,249}"
_TOPICS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": rf"^({_TOPIC}|\^.*)$"},
        {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": rf"^{_TOPIC}$"}},
        {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "string", "pattern": r"^\^"}},
    ]
}


class KafkaSource(SourceSpec):
    """Topics of the configured Kafka cluster.

    Attributes:
        kafka: One topic, several, or a pattern of topics that begins with ^.
        start: Where the stream begins.
        on_truncated: What to do when retention deleted unread events: stop, or go on after the gap
            (which stays visible in the ledger).
    """

    kind: ClassVar[str] = "kafka"
    topic_place = TopicPlace("source_partition", ".")

    kafka: Annotated[OneOrMore, Field(min_length=1), WithJsonSchema(_TOPICS_SCHEMA)]
    on_truncated: Literal["fail", "earliest"] = "fail"

    @property
    def origin(self) -> str:
        """The topics."""
        return f"Kafka {', '.join(self.kafka)}"

    @property
    def skips_truncated(self) -> bool:
        """As `on_truncated` says."""
        return self.on_truncated == "earliest"

    def destination(self, named: str = "") -> str:
        """The only topic, or the chosen one of several."""
        if not named:
            if len(self.kafka) == 1 and not self.is_pattern:
                return self.kafka[0]
            raise ConfigError(f"'{', '.join(self.kafka)}' names several topics: choose one with --to")
        if not self.reads(named):
            raise ConfigError(f"the stream does not read '{named}': its topics are {', '.join(self.kafka)}")
        return named

    def covers(self, partition: str) -> bool:
        """Whether its topic is one of these."""
        return self.reads(partition.rpartition("-")[0])

    def absent(self, partitions: Collection[str]) -> tuple[str, ...]:
        """Named topics of which there is no partition."""
        there = {partition.rpartition("-")[0] for partition in partitions}
        return () if self.is_pattern else tuple(topic for topic in self.kafka if topic not in there)

    def reads(self, topic: str) -> bool:
        """Whether a topic is one of these."""
        return bool(re.search(self.kafka[0], topic)) if self.is_pattern else topic in self.kafka

    @property
    def is_pattern(self) -> bool:
        """Whether a pattern stands for the topics."""
        return self.kafka[0].startswith("^")

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
            elif not re.fullmatch(_TOPIC, topic) or topic in (".", ".."):
                raise ValueError(f"'{topic}' is not a Kafka topic name; a pattern begins with ^")
        return self
