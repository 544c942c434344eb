"""Small things that several tests of ingestion say: produce, ingest, read back."""

from collections.abc import Sequence

import pytest
from kafka import KafkaProducer

from ingestion.collect.collector import Collector
from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.connectors.kafka.log import KafkaLog
from ingestion.connectors.mqtt.connector import MqttConnector
from ingestion.connectors.mqtt.retry import Retry
from ingestion.declare.decoding import decoder_of
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.land.batch import Ingestor
from ingestion.land.report import BatchReport
from ingestion.settings import Settings
from ingestion.spool.guarded import Limits

both_clients = pytest.mark.parametrize("kafka_settings", ["kafka-python", "librdkafka"], indirect=True)
"""Runs a test once with each client."""


def kafka_stream(name: str, **source: object) -> Stream:
    """A stream over the topic of the same name."""
    return Stream.model_validate({"name": name, "source": {"kafka": name} | source})


def produce(
    servers: str,
    topic: str,
    values: Sequence[bytes | None],
    *,
    partition: int = 0,
    keys: Sequence[bytes | None] = (),
    **options: object,
) -> None:
    """Send values and wait until the broker has them."""
    producer = KafkaProducer(bootstrap_servers=servers, **options)
    for index, value in enumerate(values):
        producer.send(topic, value, key=keys[index] if keys else None, partition=partition)
    producer.flush()
    producer.close()


def ingest(lake: Lake, stream: Stream, settings: Settings) -> BatchReport:
    """One batch over connections of its own."""
    lake.prepare([stream.name])
    log = open_log(stream, settings)
    try:
        return Ingestor(lake).run(stream, log, decode=decoder_of(stream, settings))
    finally:
        log.close()


def kafka_log(
    stream: Stream,
    settings: Settings,
    *,
    timeout_seconds: float | None = None,
    of: type[KafkaLog] = KafkaLog,
) -> KafkaLog:
    """A stream's log through kafka-python, or through a class of the test's own."""
    access = settings.access("kafka", KafkaAccess)
    return of(
        stream.name,
        stream.source,
        access,
        timeout_seconds=timeout_seconds or settings.source_timeout_seconds,
    )


def mqtt_collector(
    settings: Settings, streams: Sequence[Stream], *, number: int = 0,
    limits: Limits | None = None, retry: Retry | None = None,
) -> Collector:  # fmt: skip
    """A collector of MQTT streams, not running yet."""
    connector = MqttConnector(retry=retry or Retry())
    return Collector(settings, streams, connector=connector, number=number, limits=limits)


def positions_of(lake: Lake, stream: str) -> list[tuple[str, int]]:
    """(partition, position) of every row of a raw table, in order, doubles included."""
    return lake.query(f"select source_partition, position from raw.{stream} order by all")
