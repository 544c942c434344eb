"""A Kafka that goes back to an earlier state under the same topic id and grows again is refused."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.declare.logs import open_log
from ingestion.errors import LogTruncated
from ingestion.lake.lake import Lake
from ingestion.log.port import Break
from ingestion.log.positions import Position, find_breaks
from ingestion.settings import Settings
from ingestion.watch.recount import verify
from orchestration.cli.examine_sources import sources
from tests.ingestion.helpers import ingest, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka, KafkaServer

_numbers = numbers()
CLIENTS = ("kafka-python", "librdkafka")


def test_a_leader_knows_where_an_epoch_ended_and_that_it_never_had_one(
    kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    name = f"epochs_{next(_numbers)}"
    apache_kafka.create_topic(name)
    produce(apache_kafka.bootstrap_servers, name, [b"1"] * 5)
    with closing(open_log(kafka_stream(name), kafka_settings)) as log:
        bounds = log.bounds()
        partition, found = f"{name}-0", bounds[f"{name}-0"]
        epoch = int(found.proof.split()[1])
        assert found.proof == f"epoch {epoch} to 5"
        assert log.diverged({partition: found.proof}) == {}
        assert log.diverged({partition: ""}) == {}
        # An epoch that this leader has never had: its cluster was put back, too.
        assert log.diverged({partition: f"epoch {epoch + 7} to 3"}) == {partition: 0}
        later = {partition: Position(4, found.log_id, end_proof=f"epoch {epoch + 7} to 3")}
        assert find_breaks(log, later, bounds) == {partition: Break.PUT_BACK}


@pytest.fixture
def kafka(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[KafkaServer]:
    server = KafkaServer(tmp_path / "kafka", cache=pytestconfig.rootpath / ".pytest_cache")
    server.start()
    yield server
    server.stop()


@pytest.mark.slow("a Kafka of its own starts four times")
def test_an_older_disk_under_the_same_topic_id_is_refused_by_epoch_and_by_event(
    lake: Lake, settings: Settings, kafka: KafkaServer, tmp_path: Path
) -> None:
    data, copy = tmp_path / "kafka" / "data", tmp_path / "copy"
    by_epoch, by_event = ("epoch_a", "epoch_b"), ("event_a", "event_b")
    topics = {
        topic: client for pair in (by_epoch, by_event) for topic, client in zip(pair, CLIENTS, strict=True)
    }
    of = {
        topic: settings.replaced(kafka_bootstrap_servers=kafka.bootstrap_servers, kafka_client=client)
        for topic, client in topics.items()
    }

    def send(*values: bytes) -> None:
        for topic in topics:
            produce(kafka.bootstrap_servers, topic, values)

    for topic in topics:
        kafka.create_topic(topic)
    send(*[b"1"] * 4)
    kafka.stop()
    shutil.copytree(data, copy)
    kafka.start()
    send(*[b"2"] * 4)
    for topic in topics:
        assert ingest(lake, kafka_stream(topic), of[topic]).events_landed == 8
    kafka.restart()
    send(*[b"3"] * 2)
    for topic in topics:  # another epoch, the same log
        assert ingest(lake, kafka_stream(topic), of[topic]).events_landed == 2
    assert len(lake.query("select distinct log_end_proof from raw.batches")) == 2

    # Some partitions as they were after four events; the cluster knows of every leader since.
    kafka.stop()
    for topic in by_epoch:
        shutil.rmtree(data / f"{topic}-0")
        shutil.copytree(copy / f"{topic}-0", data / f"{topic}-0")
    kafka.start()
    send(*[b"4"] * 9)
    lake.query("update raw.batches set last_event = ''")
    for topic in by_epoch:
        refused(lake, of[topic], topic)
    for topic in by_event:
        assert ingest(lake, kafka_stream(topic), of[topic]).events_landed == 9

    # The whole disk: epochs count again from where they were, so that only the event is left to tell.
    kafka.stop()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    kafka.start()
    send(*[b"5"] * 20)
    lake.query("update raw.batches set log_end_proof = ''")
    for topic in by_event:
        refused(lake, of[topic], topic)


def refused(lake: Lake, settings: Settings, topic: str) -> None:
    """A batch refuses it, and so do those who look."""
    stream, before = kafka_stream(topic), positions_of(lake, topic)
    with pytest.raises(LogTruncated, match=rf"{topic}-0 has other events than those that were read before"):
        ingest(lake, stream, settings)
    assert positions_of(lake, topic) == before
    with closing(open_log(stream, settings)) as log:
        counted = verify(lake, stream, log=log)
    assert counted.verdict == "defect"
    assert "has other events" in counted.partitions[0].findings[0]
    (found,) = sources(settings, [stream])
    assert (found.state, "has other events" in found.message) == ("problem", True)
