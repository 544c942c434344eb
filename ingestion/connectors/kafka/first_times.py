"""The time stamps of single records of Kafka topics: a broker has no cheaper way to give one than a fetch.

What it fetches is thrown away; positions and windows are the caller's.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from ingestion.connectors.kafka.rows import moment_of
from ingestion.log.port import Window

_PARTITION_BYTES = 32 * 2**10  # a record batch of the usual size; a broker sends a larger one whole, alone
_FETCH_BYTES = 2**20
_MOST_RECORDS = 100_000  # as many partitions as a poll can answer for
_LOOK_SECONDS = 0.2  # a poll returns for records only: whether it went past a hole has to be asked in between


class FirstTimes:
    """A consumer that reads one record of each partition it is asked about.

    Args:
        options: kafka-python's, for reaching the cluster.
        timeout_seconds: Bound of each call.
    """

    def __init__(self, options: Mapping[str, Any], *, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._consumer = KafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=100,
            metrics_enabled=False,
        )

    def of(self, windows: Mapping[TopicPartition, Window]) -> dict[TopicPartition, datetime | None]:
        """The time stamp of each window's first record; what is not answered in time is left out."""
        found: dict[TopicPartition, datetime | None] = {}
        left = {tp: window for tp, window in windows.items() if window.start < window.end}
        deadline = time.monotonic() + self._timeout
        self._consumer.assign(list(left))
        for tp, window in left.items():
            self._consumer.seek(tp, window.start)
        try:
            while left and (seconds := deadline - time.monotonic()) > 0:
                wait_ms = int(min(seconds, _LOOK_SECONDS) * 1000)
                polled = self._consumer.poll(timeout_ms=wait_ms, max_records=_MOST_RECORDS)
                for tp, records in polled.items():
                    wanted = [each for each in records if left[tp].start <= each.offset < left[tp].end]
                    if wanted:
                        found[tp] = moment_of(wanted[0].timestamp)
                # Beyond holes (compaction, transaction markers) there may be nothing before the end.
                ended = [tp for tp in left if (self._consumer.position(tp) or 0) >= left[tp].end]
                for tp in {*found, *ended} & left.keys():
                    del left[tp]
                self._consumer.assign(list(left))
        finally:
            self._consumer.assign([])
        return found

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
