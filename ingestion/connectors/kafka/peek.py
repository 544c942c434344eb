"""Looks at topics without a consumer group: the broker remembers nothing about it."""

import difflib
from collections.abc import Iterator

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.connectors.kafka.declare import KafkaSource
from ingestion.connectors.kafka.log import KafkaLog
from ingestion.connectors.messages import Look, Message
from ingestion.errors import SourceUnavailable
from ingestion.log.newest import look_at


class _Glance(KafkaLog):
    """A log that belongs to no stream and to no group."""

    def __init__(self, source: KafkaSource, access: KafkaAccess, *, timeout_seconds: float) -> None:
        super().__init__("", source, access, timeout_seconds=timeout_seconds)
        self._who, self._group = "", None

    def require_topics(self) -> None:
        """Refuse topics that do not exist, with the names of similar ones.

        Raises:
            SourceUnavailable: A topic is missing, or no topic matches the pattern.
        """
        with self._translated():
            admin = self._connect_admin()
            every = {topic["name"] for topic in admin.describe_topics() if not topic["is_internal"]}
        for topic in self._source.kafka:
            if self._source.is_pattern:
                if not any(self._source.reads(name) for name in every):
                    raise SourceUnavailable(
                        f"Kafka at {self._access.bootstrap_servers} has no topic that matches '{topic}'; "
                        f"its topics are {_some(every)}"
                    )
            elif topic not in every:
                raise SourceUnavailable(missing(topic, every, self._access))


def peek(source: KafkaSource, access: KafkaAccess, look: Look) -> Iterator[Message]:
    """The last messages of some topics, or the first ones from a time on (port.Connector.peek)."""
    log = _Glance(source, access, timeout_seconds=look.timeout_seconds)
    try:
        log.require_topics()
        for row in look_at(log, limit=look.limit, start=look.start).to_pylist():
            yield Message(
                row["source_partition"], row["position"], row["event_key"], row["value"], row["headers"],
                row["event_time"], note="" if row["value"] is not None else "tombstone",
            )  # fmt: skip
    finally:
        log.close()


def missing(topic: str, every: set[str], access: KafkaAccess) -> str:
    """The sentence for a topic that does not exist."""
    close = difflib.get_close_matches(topic, sorted(every), n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"its topics are {_some(every)}"
    return f"Kafka at {access.bootstrap_servers} has no topic '{topic}'; {hint}"


def _some(names: set[str], *, most: int = 10) -> str:
    first = ", ".join(sorted(names)[:most]) or "none"
    return f"{first} and {len(names) - most} more" if len(names) > most else first
