"""Kafka topics as a log, through kafka-python: assigned partitions, our own positions, no group management.

Positions live in the lake's ledger; group offsets are committed for the broker's dashboards only.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from ingestion.connectors.kafka.blocks import Block, deliver_blocks
from ingestion.connectors.kafka.refusals import accepts_connections, refused, tls_problem
from ingestion.connectors.kafka.rows import Rows
from ingestion.connectors.kafka.tail import KafkaTail
from ingestion.declare.stream import KafkaSource, Stream
from ingestion.errors import SourceStalled, SourceUnavailable
from ingestion.log.port import Bounds, Chunk, Start, Window
from ingestion.log.stalls import read_over
from ingestion.settings import Settings

_POLL_MILLISECONDS = 500
_POLL_BLOCKS = 4096
_CHUNK_BYTES = 16 * 2**20
_REFUSALS = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.AuthorizationError,
    kafka_errors.UnsupportedSaslMechanismError,
)


def connection_options(settings: Settings, *, timeout_seconds: float) -> dict[str, Any]:
    """kafka-python's options for reaching the configured cluster.

    Args:
        settings: Addresses and credentials.
        timeout_seconds: For the first contact and for each request.

    Raises:
        SourceUnavailable: No cluster is configured.
    """
    if not settings.kafka_bootstrap_servers:
        raise SourceUnavailable(
            "no Kafka cluster is configured: set MILLRACE_KAFKA_BOOTSTRAP_SERVERS, or try 'millrace demo'"
        )
    options: dict[str, Any] = {
        "bootstrap_servers": [part.strip() for part in settings.kafka_bootstrap_servers.split(",")],
        "client_id": settings.kafka_client_id,
        "security_protocol": settings.kafka_security_protocol,
        "bootstrap_timeout_ms": int(timeout_seconds * 1000),
        "request_timeout_ms": max(1000, int(timeout_seconds * 1000)),
    }
    if settings.kafka_ssl_ca_file is not None:
        options["ssl_cafile"] = str(settings.kafka_ssl_ca_file)
    if settings.kafka_security_protocol.startswith("SASL") and settings.kafka_password is not None:
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return options


class KafkaLog:
    """One stream's topics. Partitions are named `topic-number`, as Kafka's own tools do.

    Args:
        stream: A stream with a Kafka source.
        settings: How to reach the cluster.
        timeout_seconds: Bound of every call; settings.source_timeout_seconds unless told.

    Attributes:
        stalls: How often reading stood still and was begun again over a new connection.
    """

    def __init__(self, stream: Stream, settings: Settings, *, timeout_seconds: float | None = None) -> None:
        if not isinstance(stream.source, KafkaSource):
            raise TypeError(f"stream '{stream.name}' has no Kafka source")
        self._stream = stream
        self._source = stream.source
        self._settings = settings
        self._timeout = timeout_seconds or settings.source_timeout_seconds
        self._consumer: Any = None
        self._admin: Any = None
        self._tail: KafkaTail | None = None
        self.stalls = 0

    def bounds(self) -> dict[str, Bounds]:
        """What each partition holds now, up to the last stable offset (committed transactions)."""
        with _translated(self._stream, self._settings):
            described = self._describe()
            ids = {
                TopicPartition(topic["name"], part["partition_index"]): str(topic.get("topic_id") or "")
                for topic in described
                for part in topic["partitions"]
            }
            if not ids:
                return {}
            consumer, timeout_ms = self._connect(), int(self._timeout * 1000)
            begins = consumer.beginning_offsets(list(ids), timeout_ms=timeout_ms)
            ends = consumer.end_offsets(list(ids), timeout_ms=timeout_ms)
            return {_name(tp): Bounds(begins[tp], max(begins[tp], ends[tp]), ids[tp]) for tp in ids}

    def stirred(self, known: Mapping[str, Bounds]) -> bool:
        """Whether events have come behind the ends in `known`, as far as the broker has told."""
        with _translated(self._stream, self._settings):
            if self._tail is None:
                self._tail = KafkaTail(connection_options(self._settings, timeout_seconds=self._timeout))
            return self._tail.stirred({_topic_partition(name): held.end for name, held in known.items()})

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """Where new partitions begin."""
        if not isinstance(start, datetime):
            return {
                name: held.begin if start == "earliest" else held.end for name, held in partitions.items()
            }
        with _translated(self._stream, self._settings):
            moment = int(start.timestamp() * 1000)
            found = self._connect().offsets_for_times(
                {_topic_partition(name): moment for name in partitions}, timeout_ms=int(self._timeout * 1000)
            )
            at = {_name(tp): offset.offset for tp, offset in found.items() if offset is not None}
            return {name: at.get(name, held.end) for name, held in partitions.items()}

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the windows' events; a connection over which none comes is replaced once.

        Raises:
            SourceStalled: No progress within the time bound, twice.
            SourceUnavailable: The broker is away, or refuses to give them.
        """
        with _translated(self._stream, self._settings):
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
            f"stream '{self._stream.name}': Kafka has more events but gave none for {self._timeout:g} s "
            f"({where}); look at the broker and the network if this repeats"
        )

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Commit group offsets under `client_id.stream`; only lag dashboards read them."""
        with _translated(self._stream, self._settings):
            offsets = {
                _topic_partition(name): OffsetAndMetadata(position, "", -1)
                for name, position in positions.items()
            }
            self._connect().commit(offsets, timeout_ms=int(self._timeout * 1000))

    def close(self) -> None:
        """Close all connections."""
        self._disconnect()
        if self._tail is not None:
            self._tail.close()
            self._tail = None
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
                **connection_options(self._settings, timeout_seconds=self._timeout),
                group_id=f"{self._settings.kafka_client_id}.{self._stream.name}",
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
        """Fresh metadata of the stream's topics. A pattern may match none; a named topic must exist."""
        if self._admin is None:
            self._admin = KafkaAdminClient(
                **connection_options(self._settings, timeout_seconds=self._timeout)
            )
        names = self._source.kafka
        if names[0].startswith("^"):
            pattern = re.compile(names[0])
            every = self._admin.describe_topics()
            return [topic for topic in every if pattern.search(topic["name"]) and not topic["is_internal"]]
        described: list[dict[str, Any]] = self._admin.describe_topics(list(names))
        for topic in described:
            if topic["error_code"]:
                raise kafka_errors.for_code(topic["error_code"])(topic["name"])
        return described


@contextmanager
def _translated(stream: Stream, settings: Settings) -> Iterator[None]:
    """kafka-python's errors → SourceUnavailable with the place and the remedy."""
    where = f"stream '{stream.name}': Kafka at {settings.kafka_bootstrap_servers}"
    try:
        yield
    except kafka_errors.UnknownTopicOrPartitionError:
        topics = ", ".join(getattr(stream.source, "kafka", ()))
        message = f"{where} has no topic '{topics}'; create it or correct streams.yml"
        raise SourceUnavailable(message) from None
    except _REFUSALS as error:
        raise refused(where, settings, type(error).__name__) from None
    except kafka_errors.KafkaConfigurationError:
        raise
    except (kafka_errors.KafkaError, OSError) as error:
        if settings.kafka_security_protocol.endswith("SSL") and (problem := tls_problem(settings)):
            raise SourceUnavailable(
                f"{where} cannot be spoken to over TLS ({problem}); check MILLRACE_KAFKA_SSL_CA_FILE, "
                "MILLRACE_KAFKA_SECURITY_PROTOCOL, the port, and the names in the broker's certificate"
            ) from None
        if settings.kafka_security_protocol.startswith("SASL") and accepts_connections(settings):
            # kafka-python tries a refused login again until its time is over, and then tells of the time.
            raise refused(where, settings, "it closes the connection at the login") from None
        raise SourceUnavailable(
            f"{where} does not answer ({type(error).__name__}); is it running, is the address right?"
        ) from None


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
