"""One stream's Kafka is not as the others': partitions come under load, an address is none; real servers."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaProducer

from ingestion.clock import utc_now
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.watch.lag import LagMeter
from tests.ingestion.helpers import ingest, kafka_stream, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()


@contextmanager
def load(servers: str, topic: str) -> Iterator[None]:
    """Events into whatever partitions there are, for as long as the block runs."""
    stop = threading.Event()

    def send() -> None:
        producer = KafkaProducer(bootstrap_servers=servers, metadata_max_age_ms=200)
        while not stop.is_set():
            for _ in range(20):
                producer.send(topic, b"{}")
            producer.flush()
        producer.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_partitions_that_come_under_load_disturb_no_stream(
    lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    growing, other = f"growing{next(_numbers)}", f"other{next(_numbers)}"
    streams = [kafka_stream(name) for name in (growing, other)]
    for name in (growing, other):
        apache_kafka.create_topic(name, partitions=1)
    produce(apache_kafka.bootstrap_servers, other, [b"{}"])
    lake.settings = kafka_settings
    lake.prepare([growing, other])
    meter = LagMeter(kafka_settings, lake, timeout_seconds=2, clock=utc_now)
    errors, seen = set[str](), 0
    with load(apache_kafka.bootstrap_servers, growing):
        for count in (30, 60):
            apache_kafka.add_partitions(growing, count)
            until = time.monotonic() + 60
            while seen < count and time.monotonic() < until:
                lags = meter.measure(streams)
                errors |= {lag.error for lag in lags if lag.error}
                seen = lags[0].partitions
                assert lags[1].events == 1
    assert errors == set()
    assert seen == 60
    ingest(lake, streams[0], kafka_settings)
    assert ingest(lake, streams[1], kafka_settings).events_landed == 1
    meter.close()


def test_what_is_not_an_address_of_kafka_stops_its_streams_with_a_sentence_and_no_others(
    lake: Lake, settings: Settings
) -> None:
    wrong = settings.replaced(kafka_bootstrap_servers="kafka:port")
    lake.prepare(["any", "kept"])
    kept = Stream.model_validate({"name": "kept", "source": {"mqtt": "a/+"}})
    meter = LagMeter(wrong, lake, timeout_seconds=1, clock=utc_now)
    lost, sound = meter.measure([kafka_stream("any"), kept])
    assert lost.error.startswith("MILLRACE_KAFKA_BOOTSTRAP_SERVERS is not an address: write host:port")
    assert sound.error == ""
    with pytest.raises(ConfigError, match="is not an address"):
        open_log(kafka_stream("any"), wrong).bounds()
    meter.close()
