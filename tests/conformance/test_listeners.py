"""Every listener: each event once in each stream that wants it, acknowledged once it is durable."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingestion.collect.collector import Collector
from ingestion.collect.status import read_status, state_folder
from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.kinesis.connector import KINESIS
from ingestion.connectors.mqtt.connector import MqttConnector
from ingestion.connectors.mqtt.retry import Retry
from ingestion.connectors.port import CollectingConnector
from ingestion.connectors.rabbitmq.connector import RabbitConnector
from ingestion.connectors.rabbitmq.retry import Retry as RabbitRetry
from ingestion.connectors.registry import collecting_connectors
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, StreamBusy
from ingestion.faultpoints import install_hook
from ingestion.log.port import Window
from ingestion.settings import Settings, load_settings
from ingestion.spool.intake import Limits
from tests.fakes import pigeon
from tests.fakes.registered import fakes
from tests.ingestion.collecting import broker, publish, wait_until
from tests.ingestion.posting import send_until_accepted
from tests.names import numbers
from tests.servers.mosquitto import Mosquitto
from tests.servers.moto import REGION, Moto
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import RabbitMq

SUBJECTS = ("mqtt", "http", "rabbitmq", "kinesis", "pigeon")
_numbers = numbers()


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    with fakes():
        yield


@dataclass(frozen=True)
class Subject:
    """A kind that is listened to.

    Attributes:
        connector: The kind.
        settings: How its broker is reached.
        nowhere: The same without an address; None where there always is one.
        sources: Two sources that both match what `send` sends, and one that does not.
        send: Send payloads; returns once the broker has them, or whoever keeps them in its place.
        refuses: What cannot be stored is refused, and its sender keeps it; else it waits.
        is_known: The broker keeps what it queues under a name of the installation's own.
    """

    connector: CollectingConnector
    settings: Settings
    nowhere: Settings | None
    sources: tuple[dict[str, object], ...]
    send: Callable[[Sequence[bytes]], None]
    refuses: bool = False
    is_known: bool = True

    @property
    def streams(self) -> list[Stream]:
        return [
            Stream.model_validate({"name": name, "source": source})
            for name, source in zip(("one", "two", "other"), self.sources, strict=True)
        ]


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    server = broker(tmp_path_factory.mktemp("listened"))
    yield server
    server.stop()


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    settings, name = load_settings(data_dir=tmp_path / "data"), f"listened-{next(_numbers)}"
    if request.param == "pigeon":
        house = pigeon.HOUSES[f"{tmp_path}"]
        return Subject(
            pigeon.PIGEON, settings.replaced(pigeon_house=f"{tmp_path}"), settings,
            ({"pigeon": name}, {"pigeon": name}, {"pigeon": "elsewhere"}),
            lambda values: house.send(name, *values),
        )  # fmt: skip
    if request.param == "http":
        known = settings.replaced(http_port=free_ports(1)[0])
        return Subject(
            HTTP, known, None, ({"http": name}, {"http": name}, {"http": "elsewhere"}),
            lambda values: send_until_accepted(known, name, values), refuses=True, is_known=False,
        )  # fmt: skip
    if request.param == "rabbitmq":
        rabbitmq: RabbitMq = request.getfixturevalue("rabbitmq")
        for queue in (name, f"{name}x"):
            rabbitmq.declare(queue, "quorum" if next(_numbers) % 2 else "classic")
        return Subject(
            RabbitConnector(retry=RabbitRetry(first_seconds=0.05, most_seconds=0.2)),
            settings.replaced(rabbitmq_host=rabbitmq.host, rabbitmq_port=rabbitmq.port), settings,
            ({"rabbitmq": name}, {"rabbitmq": {"queue": name}}, {"rabbitmq": f"{name}x"}),
            lambda values: rabbitmq.publish(name, values), is_known=False,
        )  # fmt: skip
    if request.param == "kinesis":
        return _kinesis(request, settings, name)
    server = request.getfixturevalue("mosquitto")
    return Subject(
        MqttConnector(retry=Retry(first_seconds=0.05, most_seconds=0.2)),
        settings.replaced(mqtt_host=server.host, mqtt_port=server.port), settings,
        ({"mqtt": f"{name}/#"}, {"mqtt": f"{name}/+"}, {"mqtt": f"{name}x/#"}),
        lambda values: publish(server, [(f"{name}/a", value) for value in values]),
    )  # fmt: skip


def _kinesis(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    request.getfixturevalue("aws_credentials")
    moto: Moto = request.getfixturevalue("moto")
    client = moto.client()
    for each in (name, f"{name}x"):
        client.create_stream(StreamName=each, ShardCount=1)

    def send(values: Sequence[bytes]) -> None:
        records = [{"Data": value, "PartitionKey": "k"} for value in values]
        client.put_records(StreamName=name, Records=records)

    return Subject(
        KINESIS, settings.replaced(kinesis_region=REGION, kinesis_endpoint_url=moto.url), settings,
        ({"kinesis": name}, {"kinesis": name}, {"kinesis": f"{name}x"}), send, is_known=False,
    )  # fmt: skip


@contextmanager
def collecting(subject: Subject, only: Stream | None = None, **limits: float) -> Iterator[Collector]:
    streams = [only] if only else subject.streams
    made = Limits(**limits)  # type: ignore[arg-type]
    collector = Collector(subject.settings, streams, connector=subject.connector, limits=made)
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: collector.status()["subscribed"])
        yield collector
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def spooled(subject: Subject, stream: Stream) -> list[bytes | None]:
    log = open_log(stream, subject.settings)
    windows = {name: Window(found.begin, found.end) for name, found in log.bounds().items()}
    values = [value for chunk in log.read(windows) for value in chunk.events["value"].to_pylist()]
    log.close()
    return values


def test_every_registered_kind_has_a_subject() -> None:
    assert {connector.kind for connector in collecting_connectors()} == set(SUBJECTS)


def test_each_event_is_once_in_each_stream_that_wants_it(subject: Subject) -> None:
    values = [b"%d" % number for number in range(200)]
    with collecting(subject) as collector:
        subject.send(values)
        wait_until(lambda: collector.status()["positions"] == {"one": 200, "two": 200, "other": 0})
    one, two, other = (spooled(subject, stream) for stream in subject.streams)
    assert (one, two, other) == (values, values, [])


def test_nothing_is_acknowledged_before_it_is_durable(subject: Subject) -> None:
    """A collector that cannot commit acknowledges nothing; the next one receives all of it again."""

    def broken(place: str) -> None:
        if place == "spool.written":
            raise OSError(28, "No space left on device")

    try:
        with collecting(subject) as collector:
            install_hook(broken)
            subject.send([b"1", b"2", b"3"])
            wait_until(lambda: collector.status()["error"])
            assert subject.refuses or collector.status()["unacknowledged"] > 0
    finally:
        install_hook(None)
    assert spooled(subject, subject.streams[0]) == []
    with collecting(subject) as collector:
        wait_until(lambda: collector.status()["positions"]["one"] == 3)
    assert spooled(subject, subject.streams[0]) == [b"1", b"2", b"3"]


def test_what_waits_is_stored_and_acknowledged_when_it_is_asked_to_stop(subject: Subject) -> None:
    """Its disk was full and is not any more: the last commit does not wait for its turn."""
    one, full = subject.streams[0], [True]

    def broken(place: str) -> None:
        if place == "spool.written" and full:
            raise OSError(28, "No space left on device")

    try:
        with collecting(subject, one, blocked_seconds=3_600) as collector:
            install_hook(broken)
            subject.send([b"1", b"2"])
            if subject.refuses:  # nothing waits here: the sender keeps it
                wait_until(lambda: collector.status()["blocked"])
            else:
                wait_until(lambda: collector.status()["unacknowledged"] == 2)
            full.clear()
    finally:
        install_hook(None)
    assert collector.status()["unacknowledged"] == 0
    with collecting(subject, one) as collector:
        subject.send([b"3"])
        wait_until(lambda: collector.status()["positions"]["one"] >= 3)
    stored = spooled(subject, one)
    assert (sorted(stored) if subject.refuses else stored) == [b"1", b"2", b"3"]


def test_what_came_while_nobody_listened_is_there_afterwards(subject: Subject) -> None:
    with collecting(subject):
        pass
    subject.send([b"meanwhile"])
    with collecting(subject) as collector:
        wait_until(lambda: collector.status()["positions"]["one"] == 1)
    assert spooled(subject, subject.streams[0]) == [b"meanwhile"]


def test_two_of_one_data_folder_do_not_get_along(subject: Subject) -> None:
    with collecting(subject), pytest.raises(StreamBusy, match="is in use by process"):
        Collector(subject.settings, subject.streams, connector=subject.connector)


def test_without_streams_or_an_address_it_says_what_is_missing(subject: Subject) -> None:
    with pytest.raises(ConfigError, match="stream is declared in"):
        Collector(subject.settings, [], connector=subject.connector)
    assert subject.connector.is_configured(
        subject.settings.access(subject.connector.kind, subject.connector.access)
    )
    if subject.nowhere is None:
        return
    access = subject.nowhere.access(subject.connector.kind, subject.connector.access)
    assert not subject.connector.is_configured(access)
    (problem,) = subject.connector.examine(access, timeout_seconds=1)
    assert problem.state == "problem"


def test_its_status_is_written_for_others(subject: Subject) -> None:
    data_dir = subject.settings.data_dir
    assert read_status(data_dir, subject.connector) == {}
    with collecting(subject):
        wait_until(lambda: read_status(data_dir, subject.connector).get("subscribed"))
    status = read_status(data_dir, subject.connector)
    assert status["error"] == status["warning"] == ""
    assert status["broker"]


def test_another_installation_can_take_its_name_over(subject: Subject, tmp_path: Path) -> None:
    state = state_folder(subject.settings.data_dir, subject.connector)
    assert subject.connector.identity(state) == ""
    with collecting(subject):
        pass
    name = subject.connector.identity(state)
    assert bool(name) == subject.is_known
    subject.connector.take_over(tmp_path / "there", name)
    assert subject.connector.identity(tmp_path / "there") == name
