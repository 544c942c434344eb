"""Under backlog the next batch is read while one is loaded: what was read is used only where it is next."""

import threading
from collections.abc import Callable, Iterator

import pytest

from ingestion.batch import Ingestor
from ingestion.errors import BatchFailed, SourceUnavailable
from ingestion.faultpoints import install_hook
from ingestion.lake import Lake
from ingestion.ledger import prove
from ingestion.settings import Settings, load_settings
from ingestion.sources.base import Log
from ingestion.sources.factory import open_log
from ingestion.streams import Stream
from tests.ingestion.helpers import both_clients, kafka_stream, positions_of, produce
from tests.servers.apache_kafka import ApacheKafka

PARTITIONS, EACH, BATCH = 3, 200, 100
EVERYTHING = [(f"backlog-{number}", position) for number in range(PARTITIONS) for position in range(EACH)]


@pytest.fixture
def kafka_settings(request: pytest.FixtureRequest, settings: Settings, apache_kafka: ApacheKafka) -> Settings:
    return load_settings(
        data_dir=settings.data_dir,
        catalog=settings.catalog,
        kafka_bootstrap_servers=apache_kafka.bootstrap_servers,
        kafka_client=getattr(request, "param", "kafka-python"),
        batch_max_events=BATCH,
    )


@pytest.fixture
def stream(lake: Lake, apache_kafka: ApacheKafka) -> Iterator[Stream]:
    """A stream with a backlog of six batches."""
    stream = kafka_stream("backlog")
    apache_kafka.create_topic(stream.name, partitions=PARTITIONS)
    for number in range(PARTITIONS):
        values = [b"%d" % position for position in range(EACH)]
        produce(apache_kafka.bootstrap_servers, stream.name, values, partition=number)
    lake.prepare([stream.name])
    yield stream
    install_hook(None)
    apache_kafka.delete_topic(stream.name)


@pytest.fixture
def log(stream: Stream, kafka_settings: Settings) -> Iterator[Log]:
    log = open_log(stream, kafka_settings)
    yield log
    log.close()


def drain(ingestor: Ingestor, stream: Stream, log: Log) -> int:
    """Run until nothing is left; returns the number of batches."""
    batches = 0
    while ingestor.run(stream, log).batch_id is not None:
        batches += 1
    return batches


def reads_ahead() -> bool:
    return threading.current_thread().name.startswith("read-ahead")


def in_the_reader(act: Callable[[], None]) -> Callable[[str], None]:
    """A hook that acts whenever the next batch's events have come."""
    return lambda place: act() if place == "batch.polled" and reads_ahead() else None


@both_clients
def test_the_next_batch_is_read_while_one_is_loaded_and_not_read_again(
    kafka_settings: Settings, stream: Stream, log: Log
) -> None:
    polled, reading, seen = threading.Event(), list[bool](), list[bool]()

    def hook(place: str) -> None:
        if place == "batch.polled":
            reading.append(reads_ahead())
            polled.set()
        elif place == "loader.loaded":  # the batch before is not in the lake yet
            seen.append(polled.wait(10))
            polled.clear()

    with Lake(kafka_settings) as lake:
        ingestor = Ingestor(lake)
        install_hook(hook)
        first = ingestor.run(stream, log)
        assert first.lag_events
        assert seen == [True]
        own = reading.count(False)
        assert ingestor.run(stream, log).events_landed
        assert reading.count(False) == own
        install_hook(None)
        drain(ingestor, stream, log)
        assert positions_of(lake, stream.name) == EVERYTHING


def test_two_that_take_turns_use_nothing_that_the_other_has_landed(
    kafka_settings: Settings, stream: Stream, log: Log
) -> None:
    with Lake(kafka_settings) as one, Lake(kafka_settings) as other:
        ingestors, batches = [Ingestor(one), Ingestor(other)], list[int | None]()
        while not batches or batches[-1] is not None:
            batches.append(ingestors[len(batches) % 2].run(stream, log).batch_id)
        assert batches == [*range(1, len(batches)), None]
        assert positions_of(one, stream.name) == EVERYTHING
        assert not prove(one, stream.name).defects


def test_a_reader_that_fails_harms_no_batch(kafka_settings: Settings, stream: Stream, log: Log) -> None:
    def fail() -> None:
        raise SourceUnavailable("the broker is away")

    with Lake(kafka_settings) as lake:
        install_hook(in_the_reader(fail))
        assert drain(Ingestor(lake), stream, log) > 1
        assert positions_of(lake, stream.name) == EVERYTHING


def test_a_load_that_fails_leaves_nothing_behind(kafka_settings: Settings, stream: Stream, log: Log) -> None:
    def fail(place: str) -> None:
        if place == "loader.loaded":
            raise BatchFailed("the disk is full")

    with Lake(kafka_settings) as lake:
        ingestor = Ingestor(lake)
        ingestor.run(stream, log)
        install_hook(fail)
        with pytest.raises(BatchFailed):
            ingestor.run(stream, log)
        install_hook(None)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
        drain(ingestor, stream, log)
        assert positions_of(lake, stream.name) == EVERYTHING
