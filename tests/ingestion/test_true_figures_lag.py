"""The lag that people see, against what a real log holds: how many are unread, and how old the oldest is."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from ingestion.connectors.kafka.log import KafkaLog
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.log.port import Window
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.watch.lag import LagMeter, StreamLag
from tests.ingestion.helpers import ingest, kafka_log, kafka_stream
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.waiting import eventually

_numbers = numbers()
NOW = datetime.now(UTC).replace(microsecond=0)  # within a broker's retention


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> str:
    name = f"figures_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=3)
    return name


@pytest.fixture
def producer(apache_kafka: ApacheKafka) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers)
    yield producer
    producer.close()


def send(producer: KafkaProducer, topic: str, *ages: float, partition: int = 0, value: bytes = b"1") -> None:
    """One event for each age in seconds."""
    for age in ages:
        producer.send(topic, value, partition=partition, timestamp_ms=int(ago(age).timestamp() * 1000))
    producer.flush()


def lag_of(lake: Lake, settings: Settings, stream: Stream) -> StreamLag:
    """What a command that looks once sees."""
    meter = LagMeter(settings, lake, timeout_seconds=15, clock=lambda: NOW, ages=True)
    with closing(meter):
        (lag,) = meter.measure([stream])
    return lag


def figures(lake: Lake, settings: Settings, stream: Stream) -> tuple[int, float | None]:
    """How many are unread, and for how many seconds."""
    lag = lag_of(lake, settings, stream)
    assert lag.error == ""
    return lag.events, lag.seconds


def test_the_lag_is_the_age_of_the_oldest_unread_event(
    lake: Lake, kafka_settings: Settings, topic: str, producer: KafkaProducer
) -> None:
    stream = kafka_stream(topic)
    lake.prepare([topic])
    assert figures(lake, kafka_settings, stream) == (0, 0)
    send(producer, topic, 900, 100, partition=0)
    send(producer, topic, 700, 600, 10, partition=1)
    assert figures(lake, kafka_settings, stream) == (5, 900)  # of a stream that is not in the lake at all
    lake.settings = lake.settings.replaced(batch_max_events=3)
    ingest(lake, stream, kafka_settings)  # one of each partition
    assert figures(lake, kafka_settings, stream) == (3, 600)
    send(producer, topic, 800, partition=2)
    assert figures(lake, kafka_settings, stream) == (4, 800)
    lake.settings = lake.settings.replaced(batch_max_events=100)
    ingest(lake, stream, kafka_settings)
    assert figures(lake, kafka_settings, stream) == (0, 0)


@pytest.mark.parametrize(
    ("start", "unread", "seconds"),
    [("earliest", 3, 900), ("latest", 0, 0), (ago(500), 2, 400), (ago(1), 0, 0)],
)
def test_what_a_stream_will_not_read_is_not_unread(
    lake: Lake,
    kafka_settings: Settings,
    topic: str,
    producer: KafkaProducer,
    start: object,
    unread: int,
    seconds: float,
) -> None:
    send(producer, topic, 900, 400, 300)
    stream = kafka_stream(topic, start=start)
    lake.prepare([topic])
    assert figures(lake, kafka_settings, stream) == (unread, seconds)
    assert ingest(lake, stream, kafka_settings).events_landed == unread


def test_deleted_events_are_not_unread_and_still_ask_for_a_batch(
    lake: Lake, kafka_settings: Settings, topic: str, producer: KafkaProducer, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(topic)
    send(producer, topic, 900)
    ingest(lake, stream, kafka_settings)
    send(producer, topic, 800, 700, 600)
    admin = KafkaAdminClient(bootstrap_servers=apache_kafka.bootstrap_servers)
    with closing(admin):
        admin.delete_records({TopicPartition(topic, 0): 3})
        assert figures(lake, kafka_settings, stream) == (1, 600)
        admin.delete_records({TopicPartition(topic, 0): 4})
    lag = lag_of(lake, kafka_settings, stream)
    assert (lag.events, lag.seconds, lag.truncated, lag.has_work) == (0, 0, True, True)


def test_an_event_without_a_time_leaves_the_age_unknown(
    lake: Lake, kafka_settings: Settings, topic: str, producer: KafkaProducer
) -> None:
    lake.prepare([topic])
    producer.send(topic, b"1", partition=0, timestamp_ms=-62_135_596_800_001).get(20)  # before the year 1
    assert figures(lake, kafka_settings, kafka_stream(topic)) == (1, None)
    send(producer, topic, 30, partition=1)
    assert figures(lake, kafka_settings, kafka_stream(topic)) == (2, 30)


def test_the_age_is_asked_for_once_while_the_position_stays(
    lake: Lake,
    kafka_settings: Settings,
    topic: str,
    producer: KafkaProducer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    ask = KafkaLog.first_times
    monkeypatch.setattr(
        KafkaLog, "first_times", lambda log, windows: asked.append(set(windows)) or ask(log, windows)
    )
    stream, moments = kafka_stream(topic), iter([ago(0), ago(-5), ago(-6), ago(-7)])
    lake.prepare([topic])
    meter = LagMeter(kafka_settings, lake, timeout_seconds=15, clock=lambda: next(moments), ages=True)
    with closing(meter):
        send(producer, topic, 900, partition=0)
        assert [meter.measure([stream])[0].seconds for _ in range(2)] == [900, 905]
        send(producer, topic, 100, partition=0)
        send(producer, topic, 1000, partition=1)
        eventually(lambda: meter.measure([stream])[0].events == 3, "the events are noticed")
        assert meter.measure([stream])[0].seconds == 1007
    assert asked == [{f"{topic}-0"}, {f"{topic}-1"}]


def test_one_look_at_many_partitions_fetches_little_of_each(
    lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka, producer: KafkaProducer
) -> None:
    """A broker gives one partition's batch whole and of the others only what fits: all answer in the end."""
    name = f"wide_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=40)
    for partition in range(40):
        send(producer, name, 1000 - partition, 1, partition=partition, value=b'"' + b"x" * 200_000 + b'"')
    log = kafka_log(kafka_stream(name), kafka_settings)
    with closing(log):
        windows = {part: Window(0, each.end) for part, each in log.bounds().items()}
        assert log.first_times(windows) == {
            f"{name}-{partition}": ago(1000 - partition) for partition in range(40)
        }


def test_with_the_broker_away_every_stream_says_so_of_itself(lake: Lake, kafka_settings: Settings) -> None:
    streams = [kafka_stream(f"away_{number}") for number in range(3)]
    lake.prepare([stream.name for stream in streams])
    away = kafka_settings.replaced(kafka_bootstrap_servers="127.0.0.1:1")
    with closing(LagMeter(away, lake, timeout_seconds=1, clock=lambda: NOW, ages=True)) as meter:
        for _ in range(2):  # the second look remembers that nobody answers
            for stream, lag in zip(streams, meter.measure(streams), strict=True):
                assert lag.error.startswith(f"stream '{stream.name}': Kafka at 127.0.0.1:1 does not answer")
                assert lag.seconds is None


def test_an_event_that_claims_to_be_of_the_future_ages_from_the_first_look(
    lake: Lake, settings: Settings
) -> None:
    stream = Stream.model_validate({"name": "ahead", "source": {"mqtt": "t/#"}})
    lake.prepare([stream.name])
    with closing(SpoolWriter(settings.data_dir / "spool" / stream.name)) as writer:
        writer.append([SpoolEvent(b"t/1", b"1", None, int(ago(-3e7).timestamp() * 1e6))])
        writer.commit()
        moments = iter([ago(0), ago(-70)])
        with closing(
            LagMeter(settings, lake, timeout_seconds=15, clock=lambda: next(moments), ages=True)
        ) as meter:
            assert [meter.measure([stream])[0].seconds for _ in range(2)] == [0, 70]


def test_of_a_spool_the_frame_shows_the_age(lake: Lake, settings: Settings) -> None:
    stream = Stream.model_validate({"name": "spooled", "source": {"mqtt": "t/#"}})
    lake.prepare([stream.name])
    writer = SpoolWriter(settings.data_dir / "spool" / stream.name)
    for ages in ([900, 800], [700], [600, 500, 400]):
        writer.append([SpoolEvent(b"t/1", b"1", None, int(ago(age).timestamp() * 1e6)) for age in ages])
        writer.commit()
    for left, seconds in ((6, 900), (5, 800), (4, 700), (3, 600), (2, 500), (1, 400), (0, 0)):
        assert figures(lake, settings, stream) == (left, seconds)
        lake.settings = lake.settings.replaced(batch_max_events=1)
        ingest(lake, stream, settings)
    writer.close()
