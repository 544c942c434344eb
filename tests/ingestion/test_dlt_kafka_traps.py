"""Where dlt's own Kafka source falls, on a real Kafka: each of its traps is a promise of ours."""

from contextlib import closing

import pytest

from ingestion.clock import utc_now
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import LogTruncated
from ingestion.lake.lake import Lake
from ingestion.log.port import Log
from ingestion.settings import Settings
from ingestion.watch import away as away_for_now
from ingestion.watch import lag
from ingestion.watch.lag import LagMeter, StreamLag
from tests.ingestion.helpers import ingest, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.waiting import eventually

_numbers = numbers()


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> str:
    name = f"traps_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    return name


def test_a_single_waiting_message_is_read(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    for number in (1, 2):
        produce(apache_kafka.bootstrap_servers, topic, [b"%d" % number])
        assert ingest(lake, kafka_stream(topic), kafka_settings).events_landed == 1


def test_the_identity_contains_the_offset(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    """Two equal messages with one key are two events."""
    produce(apache_kafka.bootstrap_servers, topic, [b'{"v": 1}'] * 2, keys=[b"k", b"k"])
    ingest(lake, kafka_stream(topic), kafka_settings)
    rows = lake.query(f"select event_id, event_key, payload from raw.{topic} order by 1")
    assert rows == [(f"{topic}-0@{n}", "k", '{"v": 1}') for n in (0, 1)]


def test_tombstones_and_what_is_not_utf8_do_not_crash(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    values, keys = [None, b"\xff\xff", b"1"], [b"gone", b"\xff", None]
    produce(apache_kafka.bootstrap_servers, topic, values, keys=keys)
    report = ingest(lake, kafka_stream(topic), kafka_settings)
    assert (report.events_landed, report.events_rejected) == (2, 1)
    assert lake.query("select event_key, payload_raw, reason from raw.rejects") == [
        ("\\xff", b"\xff\xff", "not_utf8")
    ]


@pytest.mark.parametrize("events", [2, 9], ids=["ends before our position", "ends behind it"])
def test_a_topic_made_again_does_not_stall_silently(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka, events: int
) -> None:
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 5)
    ingest(lake, kafka_stream(topic), kafka_settings)
    apache_kafka.delete_topic(topic)
    apache_kafka.create_topic(topic, partitions=1)
    produce(apache_kafka.bootstrap_servers, topic, [b"2"] * events)
    with pytest.raises(LogTruncated, match="made again"):
        ingest(lake, kafka_stream(topic), kafka_settings)
    assert len(positions_of(lake, topic)) == 5


@pytest.mark.parametrize("events", [0, 5], ids=["empty", "ends at our position"])
def test_a_topic_made_again_is_noticed_before_it_grows(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka, events: int
) -> None:
    """By its id where it ends at our position: nothing is unread, so nothing else would start a batch."""
    stream = kafka_stream(topic)
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 5)
    ingest(lake, stream, kafka_settings)
    with closing(LagMeter(kafka_settings, lake, timeout_seconds=15, clock=utc_now)) as meter:
        assert not meter.measure([stream])[0].has_work
        apache_kafka.delete_topic(topic)
        apache_kafka.create_topic(topic, partitions=1)
        produce(apache_kafka.bootstrap_servers, topic, [b"2"] * events)
        eventually(lambda: meter.measure([stream])[0].has_work, "a batch is asked for")
    with pytest.raises(LogTruncated, match="made again"):
        ingest(lake, stream, kafka_settings)


def test_a_topic_that_is_gone_while_others_stay_is_no_drained_one(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    other = f"{topic}.more"
    apache_kafka.create_topic(other, partitions=1)
    stream = kafka_stream(topic, kafka=[topic, other])
    for name in (topic, other):
        produce(apache_kafka.bootstrap_servers, name, [b"1"])
    ingest(lake, stream, kafka_settings)
    with closing(LagMeter(kafka_settings, lake, timeout_seconds=15, clock=utc_now)) as meter:
        assert not meter.measure([stream])[0].has_work
        apache_kafka.delete_topic(other)
        eventually(lambda: told(meter.measure([stream])[0]), "its absence is told")


def told(found: StreamLag) -> bool:
    return found.has_work or bool(found.error)


def test_a_broker_that_lets_us_wait_does_so_once_for_all_its_streams(
    lake: Lake, kafka_settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.prepare([topic])
    asked: list[str] = []

    def opened(stream: Stream, settings: Settings, *, timeout_seconds: float) -> Log:
        asked.append(stream.name)
        return open_log(stream, settings, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(lag, "open_log", opened)
    monkeypatch.setattr(away_for_now, "_REST_SECONDS", (600.0, 600.0))
    away = kafka_settings.replaced(kafka_bootstrap_servers="127.0.0.1:1")
    streams = [kafka_stream(f"{topic}_{number}") for number in range(5)]
    with closing(LagMeter(away, lake, timeout_seconds=1, clock=utc_now)) as meter:
        first = meter.measure(streams)
        assert all("127.0.0.1:1 does not answer" in each.error for each in first)
        assert meter.measure(streams) == first
        assert asked == [stream.name for stream in streams[:2]], "a second one waited in vain: all rest"


def test_an_idle_meter_asks_the_brokers_only_and_misses_nothing(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    class Counted(Lake):
        asked = 0

        def snapshot_id(self) -> int:
            self.asked += 1
            return super().snapshot_id()

    stream, counted = kafka_stream(topic), Counted(lake.settings, read_only=True)
    produce(apache_kafka.bootstrap_servers, topic, [b"1"])
    ingest(lake, stream, kafka_settings)
    with closing(LagMeter(kafka_settings, counted, timeout_seconds=15, clock=utc_now)) as meter:
        assert [meter.measure([stream])[0].events for _ in range(3)] == [0, 0, 0]
        assert counted.asked == 1
        produce(apache_kafka.bootstrap_servers, topic, [b"2"])
        eventually(lambda: meter.measure([stream])[0].events == 1, "the event is noticed")
        assert meter.measure([stream])[0].events == 1
        ingest(lake, stream, kafka_settings)
        assert not meter.measure([stream])[0].has_work
        apache_kafka.delete_topic(topic)
        eventually(lambda: meter.measure([stream])[0].error, "the topic is missed")
    counted.close()


def test_a_drained_topic_tells_of_events_without_being_asked_what_it_holds(
    lake: Lake,
    kafka_settings: Settings,
    topic: str,
    apache_kafka: ApacheKafka,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingestion.watch.lag._ASK_SECONDS", 3600.0)
    stream = kafka_stream(topic)
    produce(apache_kafka.bootstrap_servers, topic, [b"1"])
    ingest(lake, stream, kafka_settings)
    with closing(LagMeter(kafka_settings, lake, timeout_seconds=15, clock=utc_now)) as meter:
        assert not meter.measure([stream])[0].has_work
        for _ in range(2):
            assert not meter.measure([stream])[0].has_work
            produce(apache_kafka.bootstrap_servers, topic, [b"2"] * 3)
            eventually(lambda: meter.measure([stream])[0].events == 3, "the events are noticed")
            ingest(lake, stream, kafka_settings)
            eventually(lambda: not meter.measure([stream])[0].has_work, "all is in")
