"""A Kafka that restarts, goes away, freezes or compacts: the next batch goes on, each event once."""

import itertools
import os
import signal
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer, TopicPartition

from ingestion.declare.logs import open_log
from ingestion.errors import SourceStalled, SourceUnavailable
from ingestion.faultpoints import install_hook
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.batch import Ingestor
from ingestion.log.port import Window
from ingestion.settings import Settings, load_settings
from tests.ingestion.helpers import ingest, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import KafkaServer
from tests.servers.kafka_proxy import FETCH, KafkaProxy
from tests.waiting import eventually

pytestmark = [pytest.mark.xdist_group("breakable_kafka"), pytest.mark.early]
_numbers = numbers()


@pytest.fixture(scope="session")
def apache_kafka(breakable_kafka: KafkaServer) -> KafkaServer:
    return breakable_kafka


@pytest.fixture
def kafka_settings(request: pytest.FixtureRequest, settings: Settings, apache_kafka: KafkaServer) -> Settings:
    return load_settings(
        data_dir=settings.data_dir,
        catalog=settings.catalog,
        kafka_bootstrap_servers=apache_kafka.bootstrap_servers,
        source_timeout_seconds=5,
        # librdkafka reads far ahead: nothing would be left to interrupt
        kafka_client=getattr(request, "param", "kafka-python"),
    )


@pytest.fixture
def topic(apache_kafka: KafkaServer) -> Iterator[str]:
    name = f"faulty_{next(_numbers)}"
    apache_kafka.create_topic(name)
    yield name
    install_hook(None)


def _drained(lake: Lake, topic: str, settings: Settings) -> bool:
    """Ingest as the sensor does: a broker that is not there yet is tried again."""
    try:
        while ingest(lake, kafka_stream(topic), settings).batch_id is not None:
            pass
    except SourceUnavailable:
        return False
    return True


def test_a_restart_while_polling_loses_and_doubles_nothing(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: KafkaServer
) -> None:
    produce(apache_kafka.bootstrap_servers, topic, [b'"%s"' % (b"x" * 900_000)] * 24)
    polls = itertools.count(1)

    def restart(place: str) -> None:
        if place == "batch.polled" and next(polls) == 1:
            apache_kafka.restart()

    install_hook(restart)
    eventually(lambda: _drained(lake, topic, kafka_settings), "the topic is drained", seconds=120)
    assert next(polls) > 2, "one poll brought everything: nothing was interrupted"
    assert positions_of(lake, topic) == [(f"{topic}-0", n) for n in range(24)]
    assert prove(lake, topic).defects == ()


@pytest.mark.slow("a Kafka is killed, and comes back after two time limits")
def test_a_broker_that_was_away_is_drained_by_itself(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: KafkaServer
) -> None:
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 5)
    assert _drained(lake, topic, kafka_settings)
    produce(apache_kafka.bootstrap_servers, topic, [b"2"] * 50)
    apache_kafka.kill()
    try:
        for _ in range(2):
            with pytest.raises(SourceUnavailable, match="does not answer"):
                ingest(lake, kafka_stream(topic), kafka_settings)
    finally:
        apache_kafka.start()
    eventually(lambda: _drained(lake, topic, kafka_settings), "the lag is gone", seconds=120)
    assert positions_of(lake, topic) == [(f"{topic}-0", n) for n in range(55)]


@pytest.mark.slow("a time limit has to pass while 80 MB wait")
def test_a_broker_that_freezes_between_two_polls_fails_the_batch_and_not_the_stream(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: KafkaServer
) -> None:
    # More than one fetch brings (50 MiB), and nothing that compresses.
    produce(apache_kafka.bootstrap_servers, topic, [b'"%s"' % os.urandom(400_000).hex().encode()] * 100)
    assert apache_kafka.pid is not None
    pid = apache_kafka.pid

    def freeze(place: str) -> None:
        if place == "batch.polled":
            os.kill(pid, signal.SIGSTOP)

    install_hook(freeze)
    try:
        with pytest.raises(SourceUnavailable):
            ingest(lake, kafka_stream(topic), kafka_settings)
    finally:
        os.kill(pid, signal.SIGCONT)
        install_hook(None)
    assert positions_of(lake, topic) == []
    eventually(lambda: _drained(lake, topic, kafka_settings), "the lag is gone", seconds=120)
    assert positions_of(lake, topic) == [(f"{topic}-0", n) for n in range(100)]


@pytest.mark.parametrize(
    ("kafka_settings", "stalls"),
    [("kafka-python", 1), ("librdkafka", 1), ("kafka-python", 2)],
    indirect=["kafka_settings"],
)
def test_a_connection_that_brings_nothing_is_replaced_once(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: KafkaServer, stalls: int
) -> None:
    """Everything but events is answered, as when a middlebox has lost one connection of several."""
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 5)
    settings = load_settings(
        **kafka_settings.model_dump(exclude={"kafka_bootstrap_servers", "source_timeout_seconds"}),
        kafka_bootstrap_servers=f"127.0.0.1:{apache_kafka.proxy_port}",
        source_timeout_seconds=1,
    )
    stream = kafka_stream(topic)
    lake.prepare([topic])
    log = open_log(stream, settings)
    proxy = KafkaProxy(
        apache_kafka.proxy_port,
        apache_kafka.proxied_port,
        swallow=lambda key: key == FETCH and log.stalls < stalls,
    )
    try:
        if stalls == 1:
            report = Ingestor(lake).run(stream, log, decode=decoder("json"))
            assert (report.events_landed, report.stalls) == (5, 1)
        else:
            with pytest.raises(SourceStalled, match=f"{topic}-0 at 0 of 5"):
                Ingestor(lake).run(stream, log, decode=decoder("json"))
            assert log.stalls == 1
    finally:
        log.close()
        proxy.close()


def test_a_partition_whose_window_is_full_is_read_again_by_the_next_batch(
    lake: Lake, kafka_settings: Settings, apache_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused instead, its fetched records were parked in kafka-python, which then never asked for more."""
    monkeypatch.setattr("ingestion.connectors.kafka.log._POLL_BLOCKS", 4)  # 4,096 would have to be left over
    topic = f"faulty_{next(_numbers)}"
    apache_kafka.create_topic(topic, partitions=2)
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 20, batch_size=0)
    # More than one answer holds.
    produce(apache_kafka.bootstrap_servers, topic, [b'"%s"' % (b"x" * 700_000)] * 12, partition=1)
    log = open_log(kafka_stream(topic), kafka_settings)
    try:
        for first in (0, 1):
            windows = {
                f"{topic}-0": Window(first * 2, first * 2 + 2),
                f"{topic}-1": Window(first * 6, first * 6 + 6),
            }
            assert sum(chunk.events.num_rows for chunk in log.read(windows)) == 8
        assert log.stalls == 0
    finally:
        log.close()


def test_the_holes_of_a_compacted_topic_are_no_gaps(
    lake: Lake, kafka_settings: Settings, apache_kafka: KafkaServer
) -> None:
    topic = f"compacted_{next(_numbers)}"
    config = {
        "cleanup.policy": "compact",
        "segment.ms": "50",
        "max.compaction.lag.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
    }
    apache_kafka.create_topic(topic, config=config)

    def offsets() -> list[int]:
        consumer = KafkaConsumer(bootstrap_servers=apache_kafka.bootstrap_servers, consumer_timeout_ms=2000)
        tp = TopicPartition(topic, 0)
        consumer.assign([tp])
        consumer.seek(tp, 0)
        found = [record.offset for record in consumer]
        consumer.close()
        return found

    def compacted() -> bool:
        produce(apache_kafka.bootstrap_servers, topic, [b"1", b"2"], keys=[b"a", b"b"])
        held = offsets()
        return len(held) < held[-1] + 1  # the log still begins at 0

    produce(apache_kafka.bootstrap_servers, topic, [b"0"] * 10, keys=[b"a"] * 10)
    eventually(compacted, "Kafka has compacted the topic", seconds=90)
    report = ingest(lake, kafka_stream(topic), kafka_settings)
    end = report.windows[f"{topic}-0"].end
    assert 0 < report.events_landed < end
    assert report.lag_events == 0
    assert ingest(lake, kafka_stream(topic), kafka_settings).batch_id is None
    assert prove(lake, topic).defects == ()
