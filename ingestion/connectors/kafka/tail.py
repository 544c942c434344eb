"""Notices new events in Kafka topics through a fetch that the broker holds back until there are some.

One request a second instead of several a look (KIP-41's `fetch.max.wait`); what it brings is thrown away.
"""

from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition, errors

_HELD_MILLISECONDS = 1000
_MOVED = (errors.OffsetOutOfRangeError, errors.NoOffsetForPartitionError, errors.UnknownTopicOrPartitionError)


class KafkaTail:
    """A consumer that stands at the end of some partitions.

    Args:
        options: kafka-python's, for reaching the cluster.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._consumer = KafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_poll_records=1,
            max_partition_fetch_bytes=1,  # a broker sends a whole record batch at least
            fetch_max_wait_ms=_HELD_MILLISECONDS,
            metrics_enabled=False,
        )
        self._at: dict[TopicPartition, int] = {}

    def has_moved(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether an event at or after one of these positions has arrived, or a position left its log."""
        if ends != self._at:
            self._at = dict(ends)
            self._consumer.assign(list(ends))
            for partition, end in ends.items():
                self._consumer.seek(partition, end)
        try:
            if not self._consumer.poll(timeout_ms=0, max_records=1):
                return False
        except _MOVED:
            pass
        self._at = {}  # it has moved on
        return True

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
