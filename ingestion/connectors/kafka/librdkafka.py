"""Kafka topics read through librdkafka, which fetches and decompresses in threads of its own (extra `fast`).

Everything but reading stays with kafka-python: bounds, topic ids, start times, group offsets, refused logins.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ingestion.connectors.kafka.access import librdkafka_options
from ingestion.connectors.kafka.log import KafkaLog
from ingestion.connectors.kafka.rows import Rows
from ingestion.errors import SourceUnavailable
from ingestion.log.port import Chunk, Window

_CHUNK_RECORDS = 20_000
_WAIT_SECONDS = 0.05


class LibrdkafkaLog(KafkaLog):
    """A Kafka log whose windows librdkafka reads."""

    _reader: Any = None

    def _read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the windows' events, some thousand a chunk."""
        reader, left = self._open(), dict(windows)
        reader.assign([_topic_partition(name, window.start) for name, window in windows.items()])
        try:
            yield from self._consume_all(reader, left)
        except KafkaException as error:
            raise self._refusal(error.args[0]) from None
        finally:
            reader.unassign()

    def _consume_all(self, reader: Any, left: dict[str, Window]) -> Iterator[Chunk]:
        reached = {name: window.start for name, window in left.items()}
        last_progress = time.monotonic()
        while left:
            missing = sum(window.end - reached[name] for name, window in left.items())
            messages = reader.consume(min(missing, _CHUNK_RECORDS), _WAIT_SECONDS)
            rows = Rows()
            for name, run in _runs(messages):
                if name in left:
                    reached[name] = max(reached[name], self._take(rows, name, run, left[name]))
            if messages:
                last_progress = time.monotonic()
                yield Chunk(rows.table(), dict(reached))
            elif time.monotonic() - last_progress > self._timeout:
                raise self._stuck({name: (reached[name], window) for name, window in left.items()})
            done = [name for name, window in left.items() if reached[name] >= window.end]
            for name in done:
                del left[name]
            if done and left:
                reader.incremental_unassign([_topic_partition(name) for name in done])

    def _take(self, rows: Rows, name: str, run: list[Message], window: Window) -> int:
        """Add a run of one partition's messages; returns the position after it, at most the window's end."""
        # Transaction markers may follow the last record; no message is delivered for them, so the end counts.
        reached = run[-1].offset() + (run[-1].error() is None)
        if any(map(Message.error, run)):
            for error in filter(None, map(Message.error, run)):
                if error.code() != KafkaError._PARTITION_EOF:
                    raise self._refusal(error)
            run = [message for message in run if message.error() is None]
        positions = list(map(Message.offset, run))
        if positions and positions[-1] >= window.end:
            positions = positions[: bisect_left(positions, window.end)]
            del run[len(positions) :]
        headers = list(map(Message.headers, run))
        rows.add(
            name,
            positions,
            keys=list(map(Message.key, run)),
            values=list(map(Message.value, run)),
            timestamps=[timestamp for _, timestamp in map(Message.timestamp, run)],
            headers=headers if any(headers) else None,
        )
        return min(window.end, int(reached))

    def _open(self) -> Any:
        if self._reader is None:
            self._reader = Consumer(
                librdkafka_options(self._access)
                | {
                    "group.id": self._group,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "allow.auto.create.topics": False,
                    "check.crcs": True,
                    # A later read has to wait until the last fetch of the one before is answered.
                    "fetch.wait.max.ms": 10,
                    "queued.max.messages.kbytes": 64 * 1024,
                    # How long a full queue is left alone: the default of a second is a pause in every drain.
                    "fetch.queue.backoff.ms": 10,
                    "log_level": 0,
                    # Without it, connection errors are written to stderr; the time bound reports them.
                    "error_cb": lambda error: None,
                }
            )
        return self._reader

    def _refusal(self, error: KafkaError) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self._who}Kafka at {self._access.bootstrap_servers} gives no "
            f"events ({error.name()}); the next batch tries again, look at the broker if this repeats"
        )

    def _disconnect(self) -> None:
        """Close the connections that read."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        super()._disconnect()


def _runs(messages: list[Message]) -> Iterator[tuple[str, list[Message]]]:
    """Messages that follow each other in one partition, and its name."""
    for topic, of_topic in groupby(messages, Message.topic):
        for number, run in groupby(of_topic, Message.partition):
            yield f"{topic}-{number}", list(run)


def _topic_partition(name: str, *offset: int) -> TopicPartition:
    topic, _, number = name.rpartition("-")
    return TopicPartition(topic, int(number), *offset)
