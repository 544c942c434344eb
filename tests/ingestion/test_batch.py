"""Micro-batches from a real Apache Kafka into a real lake."""

import time
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewPartitions

from ingestion.declare.logs import open_log
from ingestion.errors import BatchFailed, LogTruncated, SourceUnavailable, StreamBusy
from ingestion.faultpoints import install_hook
from ingestion.formats.decode import decoder
from ingestion.lake.catalog import process_name, writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.land.batch import Ingestor
from ingestion.log.port import Window
from ingestion.settings import Settings
from tests.ingestion.helpers import both_clients, ingest, kafka_log, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> Iterator[str]:
    name = f"events_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=2)
    yield name
    install_hook(None)


def test_every_event_once_over_several_batches(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(topic)
    for round_number in range(3):
        for partition in (0, 1):
            produce(
                apache_kafka.bootstrap_servers, topic, [b'{"r": %d}' % round_number] * 50, partition=partition
            )
        report = ingest(lake, stream, kafka_settings)
        assert (report.batch_id, report.events_landed, report.lag_events) == (round_number + 1, 100, 0)
    assert positions_of(lake, topic) == [(f"{topic}-{p}", n) for p in (0, 1) for n in range(150)]
    proof = prove(lake, topic)
    assert (proof.batches, proof.events_read, proof.defects) == (3, 300, ())


def test_nothing_new_makes_no_load(lake: Lake, kafka_settings: Settings, topic: str) -> None:
    stream = kafka_stream(topic)
    assert ingest(lake, stream, kafka_settings).batch_id == 1  # records where the partitions begin
    before = lake.snapshot_id()
    assert ingest(lake, stream, kafka_settings).batch_id is None
    assert lake.snapshot_id() == before


def test_a_batch_that_was_refused_is_not_fenced(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    """Its process goes on with other streams: whoever takes the lock next must not end their sessions."""
    away = kafka_stream(topic, kafka=f"{topic}_that_is_not_there")
    lake.prepare([topic])
    with pytest.raises(SourceUnavailable):
        ingest(lake, away, kafka_settings)
    lake.connection.execute("begin")
    lake.query("select count(*) from raw.batches")
    with writer_lock(kafka_settings, topic, application_name=process_name()):
        assert lake.query("select count(*) from raw.batches") == [(0,)]
    lake.connection.execute("commit")


def test_a_batch_is_one_snapshot_of_the_lake(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(topic)
    produce(apache_kafka.bootstrap_servers, topic, [b"1"])
    ingest(lake, stream, kafka_settings)
    before = lake.snapshot_id()
    produce(apache_kafka.bootstrap_servers, topic, [b"2", b"{"])
    ingest(lake, stream, kafka_settings)
    assert lake.snapshot_id() == before + 1
    for table, added in ((topic, 1), ("rejects", 1), ("batches", 2)):
        then = lake.query(f"select count(*) from raw.{table} at (version => {before})")[0][0]
        assert lake.query(f"select count(*) from raw.{table}")[0][0] == then + added


@both_clients
def test_malformed_binary_and_tombstone_do_not_stop_the_stream(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    values = [b'{"n": 1}', b'{"n": ', None, bytes(range(256)), b"", b'{"n": 2}']
    produce(apache_kafka.bootstrap_servers, topic, values, keys=[b"k%d" % n for n in range(6)])
    report = ingest(lake, kafka_stream(topic), kafka_settings)
    assert (report.events_read, report.events_landed, report.events_rejected) == (6, 3, 3)
    assert lake.query(f"select position, event_key, payload from raw.{topic} order by 1") == [
        (0, "k0", '{"n": 1}'),
        (2, "k2", None),
        (5, "k5", '{"n": 2}'),
    ]
    assert lake.query("select position, reason, payload_raw from raw.rejects order by 1") == [
        (1, "not_json", values[1]),
        (3, "not_utf8", values[3]),
        (4, "empty", b""),
    ]
    assert prove(lake, topic).defects == ()


@both_clients
def test_headers_keys_and_the_brokers_timestamp_are_kept(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers)
    sent_ms = int(time.time() * 1000) - 3_600_123
    headers = [("trace", b"abc"), ("n", b"1"), ("n", b"\xff")]
    producer.send(topic, b"{}", key=b"k", headers=headers, partition=1, timestamp_ms=sent_ms)
    for key in ((7).to_bytes(8, "big"), b"\xff\x00", b"\\xff\n", "é".encode(), b"", None):
        producer.send(topic, b"{}", key=key, partition=1)
    producer.flush()
    producer.close()
    ingest(lake, kafka_stream(topic), kafka_settings)
    rows = lake.query(
        f"select event_id, headers, epoch_ms(event_time) from raw.{topic} where event_key = 'k'"
    )
    assert rows == [(f"{topic}-1@0", '{"trace":"abc","n":["1","\\\\xff"]}', sent_ms)]
    shown = lake.query(f"select event_key from raw.{topic} where position > 0 order by position")
    assert [text for (text,) in shown] == ["\\x0000000000000007", "\\xff00", "\\x5c7866660a", "é", "", None]


@both_clients
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_read(
    kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka, codec: str
) -> None:
    values = [b'{"x": "%s"}' % (b"y" * 500)] * 20
    produce(apache_kafka.bootstrap_servers, topic, values, compression_type=codec)
    log = open_log(kafka_stream(topic), kafka_settings)
    chunks = list(log.read({f"{topic}-0": Window(0, 20)}))
    log.close()
    assert [value for chunk in chunks for value in chunk.events["value"].to_pylist()] == values


def test_partitions_added_later_are_read_from_their_beginning(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(topic, start="latest")
    produce(apache_kafka.bootstrap_servers, topic, [b"1"])
    assert ingest(lake, stream, kafka_settings).events_landed == 0
    KafkaAdminClient(bootstrap_servers=apache_kafka.bootstrap_servers).create_partitions(
        {topic: NewPartitions(4)}
    )
    produce(apache_kafka.bootstrap_servers, topic, [b"2", b"3"], partition=3)
    assert ingest(lake, stream, kafka_settings).events_landed == 2


def test_latest_begins_at_the_first_look_and_loses_nothing_after_it(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(topic, start="latest")
    produce(apache_kafka.bootstrap_servers, topic, [b"1"])
    ingest(lake, stream, kafka_settings)
    produce(apache_kafka.bootstrap_servers, topic, [b"2"])
    ingest(lake, stream, kafka_settings)
    assert lake.query(f"select payload from raw.{topic}") == [("2",)]


def test_a_limit_splits_a_backlog_into_batches_that_join(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    for partition in (0, 1):
        produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 100, partition=partition)
    lake.settings = kafka_settings.model_copy(update={"batch_max_events": 60})
    stream = kafka_stream(topic)
    while ingest(lake, stream, kafka_settings).batch_id is not None:
        pass
    assert len(set(positions_of(lake, topic))) == len(positions_of(lake, topic)) == 200
    assert read_state(lake, topic).last_batch_id >= 4
    assert prove(lake, topic).defects == ()


@pytest.mark.parametrize("limit", [{"batch_max_bytes": 1}, {"batch_max_seconds": 1e-6}], ids=str)
def test_a_batch_that_ends_early_holds_what_it_read_and_the_next_goes_on_there(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka, limit: dict[str, float]
) -> None:
    produce(apache_kafka.bootstrap_servers, topic, [b'"%s"' % (b"x" * 500_000)] * 12)
    lake.settings = kafka_settings.model_copy(update=limit)
    reports = [ingest(lake, kafka_stream(topic), kafka_settings)]
    while reports[-1].batch_id is not None:
        reports.append(ingest(lake, kafka_stream(topic), kafka_settings))
    assert reports[0].unread[f"{topic}-0"].start == reports[0].events_read < 12
    assert positions_of(lake, topic) == [(f"{topic}-0", n) for n in range(12)]
    assert prove(lake, topic).defects == ()


@pytest.mark.parametrize(
    "place", ["batch.polled", "loader.extracted", "loader.normalized", "loader.loaded", "loader.committed"]
)
def test_a_failure_at_any_point_leaves_all_or_nothing_and_the_next_batch_heals(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka, place: str
) -> None:
    stream = kafka_stream(topic)
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 30)

    def fail(name: str) -> None:
        if name == place:
            raise RuntimeError(name)

    install_hook(fail)
    with pytest.raises((RuntimeError, BatchFailed)):
        ingest(lake, stream, kafka_settings)
    install_hook(None)
    committed = place == "loader.committed"
    assert len(positions_of(lake, topic)) == (30 if committed else 0)
    assert ingest(lake, stream, kafka_settings).events_landed == (0 if committed else 30)
    assert positions_of(lake, topic) == [(f"{topic}-0", n) for n in range(30)]
    assert prove(lake, topic).defects == ()


def test_a_second_writer_is_told_who_is_writing(lake: Lake, kafka_settings: Settings, topic: str) -> None:
    lake.prepare([topic])
    name = process_name()
    with (
        writer_lock(kafka_settings, topic, application_name=name),
        pytest.raises(StreamBusy, match=name),
    ):
        ingest(lake, kafka_stream(topic), kafka_settings)


def test_a_topic_made_again_is_refused_not_skipped(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(topic)
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 5)
    ingest(lake, stream, kafka_settings)
    apache_kafka.delete_topic(topic)
    apache_kafka.create_topic(topic, partitions=2)
    produce(apache_kafka.bootstrap_servers, topic, [b"2"] * 9)
    with pytest.raises(LogTruncated, match="made again"):
        ingest(lake, stream, kafka_settings)
    assert len(positions_of(lake, topic)) == 5


def test_a_missing_topic_and_a_broker_that_is_away_are_told_in_a_sentence(
    lake: Lake, kafka_settings: Settings
) -> None:
    with pytest.raises(SourceUnavailable, match=r"no topic 'nowhere'; create it"):
        ingest(lake, kafka_stream("nowhere"), kafka_settings)
    away = kafka_settings.replaced(kafka_bootstrap_servers="127.0.0.1:1")
    log = kafka_log(kafka_stream("nowhere"), away, timeout_seconds=1)
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        Ingestor(lake).run(kafka_stream("nowhere"), log, decode=decoder("json"))


def test_an_aborted_transaction_is_never_seen(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers, transactional_id=f"tx-{topic}")
    producer.init_transactions()
    for commit in (False, True):
        producer.begin_transaction()
        producer.send(topic, b'{"committed": %s}' % (b"true" if commit else b"false"), partition=0)
        producer.flush()
        producer.commit_transaction() if commit else producer.abort_transaction()
    producer.close()
    stream = kafka_stream(topic)
    assert ingest(lake, stream, kafka_settings).events_landed == 1
    assert lake.query(f"select payload from raw.{topic}") == [('{"committed": true}',)]
    # Positions pass the markers: nothing stays behind for ever.
    assert ingest(lake, stream, kafka_settings).batch_id is None


@both_clients
def test_a_window_may_end_in_a_hole(kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka) -> None:
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers, transactional_id=f"tx-{topic}")
    producer.init_transactions()
    for number in range(4):  # each is a record and a marker
        producer.begin_transaction()
        producer.send(topic, b"%d" % number, partition=0)
        producer.flush()
        producer.commit_transaction() if number % 2 else producer.abort_transaction()
    producer.close()
    log = open_log(kafka_stream(topic), kafka_settings)
    found = []
    for start, end in ((0, 1), (1, 3), (3, 5), (5, 8)):
        chunks = list(log.read({f"{topic}-0": Window(start, end)}))
        assert chunks[-1].positions == {f"{topic}-0": end}
        found.append([row for chunk in chunks for row in chunk.events["position"].to_pylist()])
    log.close()
    assert found == [[], [2], [], [6]]


@both_clients
def test_one_connection_reads_window_after_window(
    kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few record batches a poll, so that a window ends while more of its partition is at hand.
    monkeypatch.setattr("ingestion.connectors.kafka.log._POLL_BLOCKS", 4)
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers)
    for number in range(120):
        producer.send(topic, b"1", partition=number % 2).get(timeout=60)  # a record batch each
    producer.close()
    log = open_log(kafka_stream(topic), kafka_settings)
    seen = []
    for start in range(0, 60, 15):
        windows = {f"{topic}-0": Window(start, start + 15), f"{topic}-1": Window(start, start + 5)}
        for chunk in log.read(windows):
            seen += zip(
                chunk.events["source_partition"].to_pylist(),
                chunk.events["position"].to_pylist(),
                strict=True,
            )
    log.close()
    wanted = [(f"{topic}-0", n) for n in range(60)]
    wanted += [(f"{topic}-1", start + n) for start in range(0, 60, 15) for n in range(5)]
    assert sorted(seen) == wanted
