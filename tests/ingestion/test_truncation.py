"""Retention passed our position: refused, or accepted with the gap written down in the same load."""

import pytest
from kafka import KafkaAdminClient, TopicPartition

from ingestion.errors import LogTruncated
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings
from ingestion.watch.recount import StreamCount, verify
from tests.ingestion.helpers import ingest, kafka_log, kafka_stream, positions_of, produce
from tests.ingestion.planted import forget_versions
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()


@pytest.fixture
def topic(lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka) -> str:
    """Five events in the lake, ten more in the broker of which the first three are gone."""
    name = f"truncated_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    produce(apache_kafka.bootstrap_servers, name, [b"1"] * 5)
    ingest(lake, kafka_stream(name), kafka_settings)
    produce(apache_kafka.bootstrap_servers, name, [b"2"] * 10)
    _delete_before(apache_kafka, name, 8)
    return name


def _delete_before(kafka: ApacheKafka, topic: str, position: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.delete_records({TopicPartition(topic, 0): position})
    admin.close()


def _recount(lake: Lake, topic: str, settings: Settings) -> StreamCount:
    stream = kafka_stream(topic, on_truncated="earliest")
    log = kafka_log(stream, settings)
    try:
        return verify(lake, stream, log=log)
    finally:
        log.close()


def test_fail_refuses_and_moves_nothing(lake: Lake, kafka_settings: Settings, topic: str) -> None:
    with pytest.raises(LogTruncated, match="retention deleted 3 unread positions; set 'on_truncated"):
        ingest(lake, kafka_stream(topic, on_truncated="fail"), kafka_settings)
    assert len(positions_of(lake, topic)) == 5


def test_earliest_goes_on_and_the_ledger_says_what_is_lost(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(topic, on_truncated="earliest")
    before = _recount(lake, topic, kafka_settings)
    assert before.verdict == "warning", before
    assert "deleted 3 unread positions; the next batch" in before.partitions[0].findings[0]

    assert ingest(lake, stream, kafka_settings).events_landed == 7
    assert [position for _, position in positions_of(lake, topic)] == [*range(5), *range(8, 15)]
    ledger = "select start_position, end_position, positions_skipped from raw.batches order by batch_id"
    assert lake.query(ledger) == [(0, 5, 0), (8, 15, 3)]
    assert prove(lake, topic).defects == ()
    assert prove(lake, topic, since_batch=1).defects == ()
    counted = _recount(lake, topic, kafka_settings)
    assert counted.verdict == "warning", counted
    assert counted.partitions[0].findings == (
        "3 positions are lost: they were gone before they were read, and "
        "'on_truncated: earliest' or 'millrace adopt' went on after them",
    )

    lake.connection.execute("update raw.batches set positions_skipped = 2 where batch_id = 2")
    assert "positions 5 to 6 are missing (gap)" in prove(lake, topic).defects[0].message


def test_a_log_that_is_empty_by_now_is_a_batch_of_nothing_but_the_gap(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    _delete_before(apache_kafka, topic, 15)
    stream = kafka_stream(topic, on_truncated="earliest")
    report = ingest(lake, stream, kafka_settings)
    assert (report.batch_id, report.events_read) == (2, 0)
    assert lake.query("select positions_skipped from raw.batches where batch_id = 2") == [(10,)]
    assert ingest(lake, stream, kafka_settings).batch_id is None
    assert prove(lake, topic).defects == ()


def test_a_lake_made_before_the_column_gets_it(lake: Lake, kafka_settings: Settings, topic: str) -> None:
    lake.connection.execute("alter table raw.batches drop column positions_skipped")
    lake.connection.execute("delete from raw._dlt_version")
    forget_versions(lake.settings)
    prepare_lake(lake, [topic], progress=lambda _: None)
    ingest(lake, kafka_stream(topic, on_truncated="earliest"), kafka_settings)
    rows = lake.query("select batch_id, positions_skipped from raw.batches order by 1")
    assert rows == [(1, None), (2, 3)]
    assert prove(lake, topic).defects == ()
    assert _recount(lake, topic, kafka_settings).verdict == "warning"
