"""What streams.yml says of a stream that is read from Kafka."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ingestion.connectors.port import OneOrMore, SourceSpec


class KafkaSource(SourceSpec):
    """Topics of the configured Kafka cluster.

    Attributes:
        kafka: One topic, several, or a pattern of topics that begins with ^.
        start: Where the stream begins.
        on_truncated: What to do when retention deleted unread events: stop, or go on after the gap
            (which stays visible in the ledger).
    """

    kind: ClassVar[str] = "kafka"

    kafka: Annotated[OneOrMore, Field(min_length=1)]
    on_truncated: Literal["fail", "earliest"] = "fail"

    @property
    def origin(self) -> str:
        """The topics."""
        return f"Kafka {', '.join(self.kafka)}"

    @property
    def skips_truncated(self) -> bool:
        """As `on_truncated` says."""
        return self.on_truncated == "earliest"

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
                raise ValueError(f"'{topic}' is not a Kafka topic name; a pattern begins with ^")
        return self
