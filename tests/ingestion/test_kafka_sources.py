"""What a Kafka source may say beside one topic: a list, a pattern, a time to begin at."""

import time

import pytest
from kafka import KafkaProducer

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from tests.ingestion.helpers import both_clients, ingest
from tests.servers.apache_kafka import ApacheKafka


@both_clients
@pytest.mark.parametrize("suffix", ["list", "pattern"])
def test_a_list_and_a_pattern_read_every_topic_that_they_name(
    lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka, suffix: str
) -> None:
    prefix = f"several-{suffix}-{kafka_settings.access('kafka', KafkaAccess).client}"
    names = [f"{prefix}.{region}" for region in ("eu", "us", "asia")]
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers)
    for name in names:
        apache_kafka.create_topic(name, partitions=1)
        producer.send(name, b"1")
    producer.flush()
    producer.close()
    wanted = names[:2] if suffix == "list" else f"^{prefix}\\.(eu|us)$"
    stream = Stream.model_validate({"name": "several", "source": {"kafka": wanted}})
    assert ingest(lake, stream, kafka_settings).events_landed == 2
    rows = lake.query("select source_partition from raw.several order by 1")
    assert rows == [(f"{name}-0",) for name in names[:2]]


def test_a_stream_begins_at_its_time(lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka) -> None:
    apache_kafka.create_topic("timed", partitions=1)
    begin = int(time.time()) - 3600
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers)
    for offset_s in (-2, -1, 0, 1):
        producer.send("timed", b"%d" % offset_s, timestamp_ms=(begin + offset_s) * 1000)
    producer.flush()
    producer.close()
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))
    stream = Stream.model_validate({"name": "timed", "source": {"kafka": "timed", "start": start}})
    ingest(lake, stream, kafka_settings)
    assert lake.query("select payload from raw.timed order by position") == [("0",), ("1",)]
