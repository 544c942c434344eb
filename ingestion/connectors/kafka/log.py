"""Kafka topics as a log, through kafka-python: assigned partitions, our own positions, no group management.

Positions live in the lake's ledger; group offsets are committed for the broker's dashboards only.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from ingestion.connectors.kafka.access import KafkaAccess, connection_options
from ingestion.connectors.kafka.blocks import Block, deliver_blocks
from ingestion.connectors.kafka.declare import KafkaSource
from ingestion.connectors.kafka.epochs import End, EpochMark, last_ends, where_epochs_ended
from ingestion.connectors.kafka.first_times import FirstTimes
from ingestion.connectors.kafka.refusals import translated
from ingestion.connectors.kafka.rows import Rows
from ingestion.connectors.kafka.tail import KafkaTail
from ingestion.errors import SourceStalled, SourceUnavailable
from ingestion.log.port import Bounds, Break, Chunk, Start, Window
from ingestion.log.stalls import read_over

_POLL_MILLISECONDS = 500
_NEW_PARTITION_SECONDS = 0.05
_POLL_BLOCKS = 4096
_CHUNK_BYTES = 16 * 2**20
_MISSING = kafka_errors.UnknownTopicOrPartitionError.errno


class KafkaLog:
    """One stream's topics. Partitions are named `topic-number`, as Kafka's own tools do.

    Args:
        name: The stream's name.
        source: Its topics.
        access: How to reach the cluster.
        timeout_seconds: Bound of every call.

    Attributes:
        stalls: How often reading stood still and was begun again over a new connection.
    """

    keeps_until_confirmed = False

    def __init__(
        self, name: str, source: KafkaSource, access: KafkaAccess, *, timeout_seconds: float
    ) -> None:
        self._who = f"stream '{name}': "
        self._group: str | None = f"{access.client_id}.{name}"
        self._source = source
        self._access = access
        self._timeout = timeout_seconds
        self._consumer: Any = None
        self._admin: Any = None
        self._tail: KafkaTail | None = None
        self._first_times: FirstTimes | None = None
        self._epochs: dict[TopicPartition, int] = {}
        self.stalls = 0

    def bounds(self) -> dict[str, Bounds]:
        """What each partition holds now, up to the last stable offset (committed transactions)."""
        with self._translated():
            described = self._describe()
            ids = {
                TopicPartition(topic["name"], part["partition_index"]): str(topic.get("topic_id") or "")
                for topic in described
                for part in topic["partitions"]
            }
            if not ids:
                return {}
            begins, ends = self._offsets(list(ids))
            self._epochs = {tp: end.epoch for tp, end in ends.items()}
            return {
                _name(tp): Bounds(
                    begins[tp],
                    max(begins[tp], end.offset),
                    ids[tp],
                    proof=str(EpochMark(end.epoch, end.offset)) if end.epoch >= 0 else "",
                )
                for tp, end in ends.items()
            }

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        """Where an epoch in which the lake saw an end ended before it, as today's leader knows (KIP-320)."""
        marks = {
            tp: mark
            for name, text in proofs.items()
            # In the epoch in which it stood then, a leader has only appended: nothing has to be asked.
            if (mark := EpochMark.parse(text))
            and self._epochs.get(tp := _topic_partition(name), mark.epoch) not in (mark.epoch, -1)
        }
        if not marks:
            return {}
        with self._translated():
            ended = where_epochs_ended(
                self._connect(),
                {tp: mark.epoch for tp, mark in marks.items()},
                timeout_ms=int(self._timeout * 1000),
            )
        return {_name(tp): at for tp, at in ended.items() if at < marks[tp].end}

    def _offsets(self, partitions: list[TopicPartition]) -> tuple[dict[Any, int], dict[TopicPartition, End]]:
        """Where partitions begin and end; one that was added a moment ago has no offsets yet."""
        deadline = time.monotonic() + self._timeout
        while True:
            consumer, timeout_ms = self._connect(), int(self._timeout * 1000)
            try:
                return (
                    consumer.beginning_offsets(partitions, timeout_ms=timeout_ms),
                    last_ends(consumer, partitions, timeout_ms=timeout_ms),
                )
            except KeyError as error:  # kafka-python's answer where the broker gave none
                if time.monotonic() >= deadline:
                    raise SourceUnavailable(
                        f"{self._who}Kafka gives no offsets of partition {_name(error.args[0])}: has it a "
                        "leader? Look at the broker if this repeats"
                    ) from None
                time.sleep(_NEW_PARTITION_SECONDS)

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        """Whether events have come after the ends in `known`, as far as the broker has reported."""
        with self._translated():
            if self._tail is None:
                self._tail = KafkaTail(connection_options(self._access, timeout_seconds=self._timeout))
            return self._tail.has_moved({_topic_partition(name): each.end for name, each in known.items()})

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """Where new partitions begin."""
        if not isinstance(start, datetime):
            return {
                name: bounds.begin if start == "earliest" else bounds.end
                for name, bounds in partitions.items()
            }
        with self._translated():
            moment = int(start.timestamp() * 1000)
            found = self._connect().offsets_for_times(
                {_topic_partition(name): moment for name in partitions}, timeout_ms=int(self._timeout * 1000)
            )
            at = {_name(tp): offset.offset for tp, offset in found.items() if offset is not None}
            return {name: at.get(name, bounds.end) for name, bounds in partitions.items()}

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the windows' events; a connection over which none comes is replaced once.

        Raises:
            SourceStalled: No progress within the time bound, twice.
            SourceUnavailable: The broker is away, or refuses to give them.
        """
        with self._translated():
            yield from read_over(self._read, windows, replace=self._replace)

    def _replace(self) -> None:
        self.stalls += 1
        self._disconnect()

    def _read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the windows' events, one chunk a poll."""
        consumer = self._connect()
        open_windows = {_topic_partition(name): window for name, window in windows.items()}
        consumer.assign(list(open_windows))
        for tp, window in open_windows.items():
            consumer.seek(tp, window.start)
        try:
            yield from self._poll_all(consumer, open_windows)
        finally:
            consumer.assign([])

    def _poll_all(self, consumer: Any, open_windows: dict[TopicPartition, Window]) -> Iterator[Chunk]:
        reached = {tp: window.start for tp, window in open_windows.items()}
        last_progress = time.monotonic()
        while open_windows:
            polled = consumer.poll(timeout_ms=_POLL_MILLISECONDS, max_records=_POLL_BLOCKS)
            # Positions pass holes (compaction, transaction markers) where no record comes.
            now_at = {
                tp: min(window.end, consumer.position(tp, timeout_ms=1000) or window.start)
                for tp, window in open_windows.items()
            }
            progressed = any(now_at[tp] > reached[tp] for tp in now_at)
            reached |= now_at
            if polled or progressed:
                last_progress = time.monotonic()
                names_at = {_name(tp): position for tp, position in now_at.items()}
                yield from _chunks(polled, open_windows, names_at)
            elif time.monotonic() - last_progress > self._timeout:
                raise self._stuck({_name(tp): (now_at[tp], open_windows[tp]) for tp in open_windows})
            done = [tp for tp, window in open_windows.items() if now_at[tp] >= window.end]
            for tp in done:
                del open_windows[tp]
            if done and open_windows:
                # Not paused: kafka-python may keep what it holds of a paused partition for ever.
                consumer.assign(list(open_windows))

    def _stuck(self, partitions: Mapping[str, tuple[int, Window]]) -> SourceStalled:
        where = ", ".join(f"{name} at {at} of {window.end}" for name, (at, window) in partitions.items())
        return SourceStalled(
            f"{self._who}Kafka has more events but gave none for {self._timeout:g} s "
            f"({where}); look at the broker and the network if this repeats"
        )

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        """The time stamp of each window's first event, over a connection that fetches little."""
        with self._translated():
            if self._first_times is None:
                options = connection_options(self._access, timeout_seconds=self._timeout)
                self._first_times = FirstTimes(options, timeout_seconds=self._timeout)
            found = self._first_times.of({_topic_partition(name): each for name, each in windows.items()})
            return {_name(tp): moment for tp, moment in found.items()}

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Commit group offsets under `client_id.stream`; only lag dashboards read them."""
        with self._translated():
            offsets = {
                _topic_partition(name): OffsetAndMetadata(position, "", -1)
                for name, position in positions.items()
            }
            self._connect().commit(offsets, timeout_ms=int(self._timeout * 1000))

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        """What happened to the topic, and the way out."""
        begin, end = (bounds.begin, bounds.end) if bounds else (0, 0)
        return {
            Break.GONE: f"is in the lake up to {position}, but the broker has it no more; "
            "restore the topic, or declare its successor as a new stream",
            Break.OTHER_LOG: "was deleted and made again: its positions start over and would be taken "
            "for those in the lake; declare the new topic as a new stream",
            Break.ENDS_BEFORE: f"ends at {end}, before our position {position}: it lost events or was "
            "made again; declare it as a new stream to read it from its beginning",
            Break.BEGINS_AFTER: f"begins at {begin}, after our position {position}: retention deleted "
            f"{begin - position} unread positions; set 'on_truncated: earliest' on its source to go on "
            "after the gap",
            Break.PUT_BACK: f"has other events than those that were read before our position {position}: its "
            "broker went back to an earlier state (an older disk, an unclean election), and new events have "
            "positions of old ones; declare it as a new stream to read it from its beginning",
        }[broken]

    def close(self) -> None:
        """Close all connections."""
        self._disconnect()
        if self._tail is not None:
            self._tail.close()
            self._tail = None
        if self._first_times is not None:
            self._first_times.close()
            self._first_times = None
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _disconnect(self) -> None:
        """Close the connection that reads."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _connect(self) -> Any:
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                **connection_options(self._access, timeout_seconds=self._timeout),
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                max_poll_records=_POLL_BLOCKS,
                max_partition_fetch_bytes=4 * 2**20,
                fetch_max_bytes=16 * 2**20,
                fetch_max_wait_ms=100,
                metrics_enabled=False,
            )
            deliver_blocks(self._consumer)
        return self._consumer

    def _describe(self) -> list[dict[str, Any]]:
        """Fresh metadata of the stream's topics. A pattern may match none; of named topics one must exist."""
        admin = self._connect_admin()
        if self._source.is_pattern:
            every = admin.describe_topics()
            return [
                topic for topic in every if self._source.reads(topic["name"]) and not topic["is_internal"]
            ]
        described: list[dict[str, Any]] = admin.describe_topics(list(self._source.kafka))
        there = [topic for topic in described if topic["error_code"] != _MISSING]
        for topic in there or described:
            if topic["error_code"]:
                raise kafka_errors.for_code(topic["error_code"])(topic["name"])
        return there

    def _connect_admin(self) -> Any:
        if self._admin is None:
            self._admin = KafkaAdminClient(**connection_options(self._access, timeout_seconds=self._timeout))
        return self._admin

    def _translated(self) -> AbstractContextManager[None]:
        """Errors of the client as sentences; one for a missing topic is the stream's own."""
        where = f"{self._who}Kafka at {self._access.bootstrap_servers}"
        topics = ", ".join(self._source.kafka)
        missing = f"{where} has no topic '{topics}'; create it or correct streams.yml"
        return translated(where, self._access, missing=missing)


def _chunks(
    polled: Mapping[TopicPartition, list[Any]],
    windows: Mapping[TopicPartition, Window],
    reached: Mapping[str, int],
) -> Iterator[Chunk]:
    """What a poll gave, in chunks of about _CHUNK_BYTES, since it is compressed until here."""
    rows, positions = Rows(), {}
    for tp, window in windows.items():
        name = _name(tp)
        for record in polled.get(tp, ()):
            if isinstance(record.value, Block):
                record.value.add_to(rows, name, window)
            elif window.start <= record.offset < window.end:
                rows.add(
                    name,
                    [record.offset],
                    keys=[record.key],
                    values=[record.value],
                    timestamps=[record.timestamp],
                    headers=None,
                )
            positions[name] = min(window.end, record.offset + 1)
            if rows.size >= _CHUNK_BYTES:
                yield Chunk(rows.table(), positions)
                rows, positions = Rows(), {}
    yield Chunk(rows.table(), reached)


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}-{tp.partition}"


def _topic_partition(name: str) -> TopicPartition:
    topic, _, number = name.rpartition("-")
    return TopicPartition(topic, int(number))
