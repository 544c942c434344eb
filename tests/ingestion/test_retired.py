"""Topics that leave a stream and come back, on a real Kafka: nothing is lost, nothing comes twice."""

import pytest

from ingestion.clock import utc_now
from ingestion.declare.logs import open_log, open_logs
from ingestion.errors import LogTruncated, SourceMissing
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.land.retirement import accept_loss
from ingestion.settings import Settings
from ingestion.watch.lag import LagMeter, StreamLag
from ingestion.watch.recount import StreamCount, verify
from tests.ingestion.helpers import both_clients, ingest, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()


@pytest.fixture
def topics(apache_kafka: ApacheKafka) -> tuple[str, str]:
    number = next(_numbers)
    one, two = f"retired{number}a", f"retired{number}b"
    for name in (one, two):
        apache_kafka.create_topic(name, partitions=1)
        produce(apache_kafka.bootstrap_servers, name, [b"1", b"2", b"3"])
    return one, two


def lag(lake: Lake, settings: Settings, stream: object) -> StreamLag:
    meter = LagMeter(settings, lake, timeout_seconds=10, clock=utc_now)
    try:
        (found,) = meter.measure([stream])  # type: ignore[list-item]
        return found
    finally:
        meter.close()


def recount(lake: Lake, settings: Settings, stream: object) -> StreamCount:
    log = open_log(stream, settings)  # type: ignore[arg-type]
    try:
        return verify(lake, stream, log=log)  # type: ignore[arg-type]
    finally:
        log.close()


@both_clients
def test_a_topic_taken_out_of_the_list_rests_and_comes_back(
    lake: Lake, kafka_settings: Settings, topics: tuple[str, str], apache_kafka: ApacheKafka
) -> None:
    one, two = topics
    both, alone = kafka_stream(one, kafka=[one, two]), kafka_stream(one, kafka=[one])
    assert ingest(lake, both, kafka_settings).events_landed == 6
    for name in topics:
        produce(apache_kafka.bootstrap_servers, name, [b"4"])
    assert lag(lake, kafka_settings, alone).has_work
    assert ingest(lake, alone, kafka_settings).events_landed == 1
    assert read_state(lake, one).positions[f"{two}-0"].retired == "undeclared"
    found = lag(lake, kafka_settings, alone)
    assert (found.has_work, found.notes, found.error) == (False, (), "")
    assert ingest(lake, alone, kafka_settings).batch_id is None
    assert recount(lake, kafka_settings, alone).verdict == "ok"
    produce(apache_kafka.bootstrap_servers, two, [b"5"])
    assert ingest(lake, both, kafka_settings).events_landed == 2
    assert positions_of(lake, one) == sorted(
        [(f"{one}-0", n) for n in range(4)] + [(f"{two}-0", n) for n in range(5)]
    )
    assert prove(lake, one).defects == ()
    assert read_state(lake, one).positions[f"{two}-0"].retired == ""


def test_a_deleted_topic_stops_alone_and_only_where_events_were_unread(
    lake: Lake, kafka_settings: Settings, topics: tuple[str, str], apache_kafka: ApacheKafka,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    one, two = topics
    stream = kafka_stream(one, kafka=[one, two])
    monkeypatch.setattr(lake, "settings", lake.settings.replaced(batch_max_events=4))
    ingest(lake, stream, kafka_settings)  # two of each
    apache_kafka.delete_topic(two)
    report = ingest(lake, stream, kafka_settings)
    assert report.events_landed == 1
    assert "is gone at the broker with 1 unread positions (2 to 3)" in report.notes[0]
    found = lag(lake, kafka_settings, stream)
    assert not found.has_work
    assert found.notes == report.notes
    assert f"the broker has no '{two}'" in found.notes[1]
    assert recount(lake, kafka_settings, stream).verdict == "defect"
    with open_logs([stream], kafka_settings) as logs:
        assert accept_loss(lake, stream, logs[one]) == {f"{two}-0": 1}
        assert accept_loss(lake, stream, logs[one]) == {}
    assert read_state(lake, one).positions[f"{two}-0"].retired == "lost"
    counted = recount(lake, kafka_settings, stream)
    assert counted.verdict == "warning"
    assert "1 positions are lost" in counted.partitions[1].findings[0]
    produce(apache_kafka.bootstrap_servers, one, [b"4"])
    assert ingest(lake, stream, kafka_settings).events_landed == 1
    assert prove(lake, one).defects == ()
    apache_kafka.create_topic(two, partitions=1)
    with pytest.raises(LogTruncated, match="made again"):
        ingest(lake, stream, kafka_settings)


def test_a_deleted_topic_that_was_read_is_retired(
    lake: Lake, kafka_settings: Settings, topics: tuple[str, str], apache_kafka: ApacheKafka
) -> None:
    one, two = topics
    pattern = kafka_stream(one, kafka=f"^{one[:-1]}[ab]$")
    ingest(lake, pattern, kafka_settings)
    apache_kafka.delete_topic(two)
    assert lag(lake, kafka_settings, pattern).has_work
    assert ingest(lake, pattern, kafka_settings).notes == ()
    assert read_state(lake, one).positions[f"{two}-0"].retired == "gone"
    assert not lag(lake, kafka_settings, pattern).has_work
    assert recount(lake, kafka_settings, pattern).verdict == "ok"


def test_latest_means_from_when_the_stream_was_declared(
    lake: Lake, kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    name = f"later{next(_numbers)}"
    for stream in (kafka_stream(f"{name}p", kafka=f"^{name}$", start="latest"),
                   kafka_stream(f"{name}n", kafka=[name], start="latest")):  # fmt: skip
        lake.prepare([stream.name])
        assert lag(lake, kafka_settings, stream).has_work
        if stream.source.is_pattern:  # type: ignore[attr-defined]
            assert ingest(lake, stream, kafka_settings).batch_id == 1
        else:
            with pytest.raises(SourceMissing, match="has no topic"):
                ingest(lake, stream, kafka_settings)
        assert not lag(lake, kafka_settings, stream).has_work
    apache_kafka.create_topic(name, partitions=1)
    produce(apache_kafka.bootstrap_servers, name, [b"1", b"2"])
    for kind in "pn":
        stream = kafka_stream(f"{name}{kind}", kafka=[name], start="latest")
        assert ingest(lake, stream, kafka_settings).events_landed == 2
        assert prove(lake, stream.name).defects == ()
        assert recount(lake, kafka_settings, stream).verdict == "ok"
