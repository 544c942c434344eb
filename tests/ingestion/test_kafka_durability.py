"""What `doctor` says of a Kafka's promise: copies, retention against what is unread."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ingestion.connectors.durability import Reading
from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.connectors.kafka.durability import Keeping, ask, judge
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.log.port import Bounds, Window
from ingestion.settings import Settings
from ingestion.watch.reading import how_far
from orchestration.cli.examine_durability import brokers
from tests.ingestion.helpers import ingest, kafka_stream, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SAFE = Keeping(copies=3, in_sync=2, unclean=False, seconds=7 * 86_400.0, bytes=None, compacted=False)
UNREAD = Reading(
    "orders",
    kafka_stream("orders").source,
    {"orders-0": Bounds(0, 1_000)},
    {"orders-0": Window(500, 1_000)},
    {"orders-0": NOW - timedelta(minutes=5)},
    events_per_second=10.0,
)
_numbers = numbers()


def said(keeping: Keeping, reading: Reading = UNREAD, *, size: int = 0) -> list[str]:
    sizes = {"orders-0": size} if size else {}
    found = judge([reading], {"orders": keeping}, sizes, now=NOW)
    return [f"{each.state}: {each.message}" for each in found]


def test_three_copies_and_a_week_are_good() -> None:
    copies, retention = said(SAFE)
    assert copies.startswith("ok: Kafka has 3 copies of orders, and with acks=all 2 of them have an event")
    assert retention == "ok: Kafka keeps events of orders for 7 days: so long millrace may stand still"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"copies": 1}, "note: Kafka has one copy of orders"),
        ({"in_sync": 1}, "note: Kafka acknowledges events of orders when one copy has them"),
        ({"unclean": True}, "problem: Kafka may make a copy of orders the leader that lacks"),
        ({"compacted": True}, "note: orders is compacted"),
        ({"seconds": 3_600.0}, "note: Kafka keeps events of orders for 60 min only"),
        ({"seconds": None}, "ok: Kafka deletes nothing of orders"),
        ({"seconds": None, "bytes": 4_096}, "ok: Kafka keeps events of orders for up to 4,096 bytes"),
    ],
)  # fmt: skip
def test_each_setting_has_its_sentence(change: dict[str, object], sentence: str) -> None:
    assert any(each.startswith(sentence) for each in said(replace(SAFE, **change)))  # type: ignore[arg-type]


def test_a_kafka_that_does_not_say_it_is_named() -> None:
    assert [each.message for each in judge([UNREAD], {}, {}, now=NOW)] == [
        "Kafka does not say how it keeps orders"
    ]


def test_unread_events_that_retention_will_reach_are_a_problem() -> None:
    def problems(keeping: Keeping, reading: Reading = UNREAD, *, size: int = 0) -> list[str]:
        return [each for each in said(keeping, reading, size=size) if each.startswith("problem")]

    assert problems(SAFE) == []
    (old,) = problems(replace(SAFE, seconds=599.0))  # 300 s old, more than half of it
    assert "500 events of orders-0 are unread, the oldest for 5 min, and Kafka deletes them after" in old
    assert problems(replace(SAFE, seconds=601.0)) == []
    slow = replace(UNREAD, events_per_second=0.5)  # 1,000 s until all is read
    (late,) = problems(replace(SAFE, seconds=1_999.0), slow)
    assert "at the pace of the last hour they are read in 16.7 min" in late
    assert problems(replace(SAFE, seconds=2_001.0), slow) == []
    early = replace(UNREAD, oldest={"orders-0": NOW + timedelta(hours=2)})
    assert any("is stamped 2 h ahead of this machine's clock" in each for each in said(SAFE, early))
    (large,) = problems(replace(SAFE, bytes=9_999), size=10_000)  # half of the partition is unread
    assert "about 5,000 bytes, and Kafka keeps 9,999 of a partition" in large
    assert problems(replace(SAFE, bytes=10_001), size=10_000) == []


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> str:
    name = f"durable_{next(_numbers)}"
    config = {"retention.ms": "7200000", "retention.bytes": "1000", "min.insync.replicas": "1"}
    apache_kafka.create_topic(name, config=config | {"unclean.leader.election.enable": "true"})
    return name


def test_a_real_kafka_says_how_it_keeps_a_topic(
    lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka, topic: str
) -> None:
    access = kafka_settings.access("kafka", KafkaAccess)
    lake.prepare([topic])
    kept, _ = ask([topic], access, timeout_seconds=15)
    assert kept == {topic: Keeping(1, 1, unclean=True, seconds=7_200.0, bytes=1_000, compacted=False)}
    stream = kafka_stream(topic)
    produce(apache_kafka.bootstrap_servers, topic, [b"%d" % number for number in range(100)])
    assert reading_of(lake, stream, kafka_settings).events_per_second is None, "it has read nothing yet"
    ingest(lake, stream, kafka_settings)
    read = reading_of(lake, stream, kafka_settings)
    assert (read.unread, read.oldest) == ({}, {})
    produce(apache_kafka.bootstrap_servers, topic, [b"x" * 1_000] * 3)
    waiting = reading_of(lake, stream, kafka_settings)
    assert waiting.unread == {f"{topic}-0": Window(100, 103)}
    assert datetime.now(UTC) - waiting.oldest[f"{topic}-0"] < timedelta(minutes=10)
    assert waiting.events_per_second
    found = brokers(kafka_settings, [stream], now=datetime.now(UTC))
    messages = " ".join(f"{each.state}: {each.message}" for each in found)
    assert f"note: Kafka has one copy of {topic}" in messages
    assert f"note: Kafka keeps events of {topic} for 2 h and up to 1,000 bytes a partition only" in messages


def reading_of(lake: Lake, stream: Stream, settings: Settings) -> Reading:
    with closing(open_log(stream, settings)) as log:
        return how_far(lake, stream, log, now=datetime.now(UTC))
