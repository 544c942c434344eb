"""Every kind: looking takes nothing and disturbs nobody; what a sender sent is there once it says so."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from ingestion.collect.collector import Collector
from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.messages import Look, Message, Outgoing
from ingestion.connectors.registry import is_collected, kinds
from ingestion.connectors.spec import SourceSpec
from ingestion.declare.sources import open_sender, peek, read_message, read_source
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.settings import Settings, load_settings
from tests.fakes import tape
from tests.fakes.registered import fakes
from tests.ingestion.collecting import running
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.moto import REGION, Moto
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import RabbitMq

SUBJECTS = {
    "kafka": "kafka",
    "mqtt": "mqtt",
    "http": "http",
    "kinesis": "kinesis",
    "tape": "tape",
    "pigeon": "pigeon",
    "rabbitmq": "rabbitmq",
    "rabbitmq_stream": "rabbitmq",
}
"""Who is asked → the kind."""
PROBE = b"is anybody there?"
_numbers = numbers()


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    with fakes():
        yield


@dataclass(frozen=True)
class Subject:
    """A source of one kind.

    Attributes:
        source: It, at a place that exists and is empty.
        missing: One whose place does not exist; None where every place does.
        settings: How its broker is reached.
        away: The same with a broker that nobody reaches; None for fakes without one.
        destination: Where to send.
        remembered: What the broker remembers of its readers.
        lists_places: The broker can say which places it has.
        keeps: The broker keeps what nobody has taken, as a queue does; a log always does.
        rewinds: Its events can be looked at from the first on, although they are collected.
    """

    source: SourceSpec
    missing: SourceSpec | None
    settings: Settings
    away: Settings | None
    destination: str
    remembered: Callable[[], object]
    lists_places: bool = True
    keeps: bool = False
    rewinds: bool = False

    @property
    def is_log(self) -> bool:
        return not is_collected(self.source)

    def send(self, *values: bytes) -> None:
        sender = open_sender(self.source, self.settings)
        sender.send([Outgoing(self.destination, value) for value in values])
        sender.close()

    def look(self, *values: bytes) -> list[Message]:
        """What is seen of these: of a log afterwards, of others while they are sent."""
        if self.is_log or self.keeps:
            self.send(*values)
            return list(peek(self.source, self.settings, Look(limit=len(values))))
        listened, seen = threading.Event(), list[Message]()

        def send() -> None:
            while not listened.is_set():  # until somebody listens, messages reach nobody
                self.send(PROBE)
                listened.wait(0.1)
            self.send(*values)

        with ThreadPoolExecutor() as pool:
            pool.submit(send)
            for message in peek(self.source, self.settings, Look(limit=10_000, wait_seconds=60)):
                listened.set()
                if message.value != PROBE:
                    seen.append(message)
                if len(seen) == len(values):
                    break
            listened.set()
        return seen


@pytest.fixture
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    settings, name = load_settings(data_dir=tmp_path / "data"), f"looked-at-{next(_numbers)}"
    return globals()[f"_{request.param}"](request, settings, name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", SUBJECTS, indirect=True)


def _kafka(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    broker: ApacheKafka = request.getfixturevalue("apache_kafka")
    broker.create_topic(name, partitions=3)
    known = settings.replaced(kafka_bootstrap_servers=broker.bootstrap_servers)

    def groups() -> object:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        try:
            return sorted(str(each) for each in admin.list_groups() if name in str(each))
        finally:
            admin.close()

    return Subject(
        read_source(f"kafka:{name}"), read_source(f"kafka:{name}x"), known,
        settings.replaced(kafka_bootstrap_servers="127.0.0.1:1", source_timeout_seconds=1), name, groups,
    )  # fmt: skip


def _mqtt(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    server: Mosquitto = request.getfixturevalue("mosquitto")
    known = settings.replaced(mqtt_host=server.host, mqtt_port=server.port)
    away = settings.replaced(mqtt_host="127.0.0.1", mqtt_port=1, source_timeout_seconds=1)
    return Subject(read_source(f"mqtt:{name}/#"), None, known, away, f"{name}/a", lambda: None)


def _http(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    """The collector is the broker here; `away` is a program that says nothing."""
    known = settings.replaced(http_port=free_ports(1)[0])
    stream = Stream.model_validate({"name": "looked_at", "source": {"http": name}})
    stack = ExitStack()
    request.addfinalizer(stack.close)  # as the others, it is called by its name
    stack.enter_context(running(Collector(known, [stream], connector=HTTP)))
    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    away = settings.replaced(http_port=silent.getsockname()[1], source_timeout_seconds=1)
    return Subject(stream.source, None, known, away, name, lambda: None)


def _rabbitmq(request: pytest.FixtureRequest, settings: Settings, name: str, text: str = "") -> Subject:
    broker: RabbitMq = request.getfixturevalue("rabbitmq")
    broker.declare(name, "stream" if text else "classic")
    known = settings.replaced(rabbitmq_host=broker.host, rabbitmq_port=broker.port)
    away = settings.replaced(rabbitmq_host="127.0.0.1", rabbitmq_port=1, source_timeout_seconds=1)
    return Subject(
        read_source(f"rabbitmq:{text}{name}"), read_source(f"rabbitmq:{text}{name}x"), known, away,
        f"{text}{name}", lambda: None, lists_places=False, keeps=True,
    )  # fmt: skip


def _rabbitmq_stream(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    return _rabbitmq(request, settings, name, "stream:")


def _kinesis(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    request.getfixturevalue("aws_credentials")
    moto: Moto = request.getfixturevalue("moto")
    moto.client().create_stream(StreamName=name, ShardCount=3)
    known = settings.replaced(kinesis_region=REGION, kinesis_endpoint_url=moto.url)
    away = known.replaced(kinesis_endpoint_url="http://127.0.0.1:1", source_timeout_seconds=1)
    return Subject(
        read_source(f"kinesis:{name}"), read_source(f"kinesis:{name}x"), known, away, name, lambda: None,
        keeps=True, rewinds=True,
    )  # fmt: skip


def _tape(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    deck = tape.DECKS[name]
    deck.reels[name] = tape.Reel()
    tape.DECKS[f"{name}-off"].down = True
    return Subject(
        read_source(f"tape:{name}"), read_source("tape:none"), settings.replaced(tape_deck=name),
        settings.replaced(tape_deck=f"{name}-off"), name, lambda: dict(deck.confirmed),
    )  # fmt: skip


def _pigeon(request: pytest.FixtureRequest, settings: Settings, name: str) -> Subject:
    known = settings.replaced(pigeon_house=name)
    return Subject(read_source(f"pigeon:{name}"), None, known, None, name, lambda: None)


def test_every_registered_kind_has_a_subject() -> None:
    assert set(SUBJECTS.values()) == set(kinds())


def test_it_shows_what_was_sent_and_takes_nothing(subject: Subject) -> None:
    before = subject.remembered()
    values = [b'{"n": %d}' % number for number in range(5)]
    seen = subject.look(*values)
    assert sorted(message.value or b"" for message in seen) == values
    assert subject.remembered() == before
    for message in seen:
        assert (message.position is None) != subject.is_log
        assert read_message(message, "json", max_bytes=100).payload == (message.value or b"").decode()
    if subject.is_log or subject.keeps:  # whoever looks again sees the same
        again = list(peek(subject.source, subject.settings, Look(limit=5)))
        assert again == seen or [each.value for each in again] == values


def test_it_ends_at_the_limit_and_with_the_wait(subject: Subject) -> None:
    if subject.is_log or subject.keeps:
        subject.send(b"1", b"2", b"3")
        assert len(list(peek(subject.source, subject.settings, Look(limit=2)))) == 2
        return
    assert list(peek(subject.source, subject.settings, Look(wait_seconds=0.2))) == []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            subject.send(b"1", b"2")

    with ThreadPoolExecutor() as pool:
        pool.submit(send)
        assert len(list(peek(subject.source, subject.settings, Look(limit=3, wait_seconds=60)))) == 3
        stop.set()


def test_a_log_shows_its_last_events_or_its_first(subject: Subject) -> None:
    if not (subject.is_log or subject.rewinds):
        with pytest.raises(ConfigError, match="leave --from out"):
            list(peek(subject.source, subject.settings, Look(start="earliest")))
        return
    assert list(peek(subject.source, subject.settings, Look())) == []
    for number in range(6):
        subject.send(b"%d" % number)
        time.sleep(0.002)  # times of their own
    last = list(peek(subject.source, subject.settings, Look(limit=2)))
    first = list(peek(subject.source, subject.settings, Look(limit=2, start="earliest")))
    assert [message.value for message in last] == [b"4", b"5"]
    assert [message.value for message in first] == [b"0", b"1"]


def test_a_place_that_does_not_exist_is_an_error_with_similar_names(subject: Subject) -> None:
    if subject.missing is None:
        return
    name = subject.missing.destination().rpartition(":")[2]
    similar = f".*{subject.destination}" if subject.lists_places else ""
    with pytest.raises(SourceUnavailable, match=f"no .* '{name}'{similar}"):
        list(peek(subject.missing, subject.settings, Look()))
    place = subject.missing.destination()
    sender = open_sender(subject.missing, subject.settings)
    with pytest.raises(SourceUnavailable, match=name):
        sender.prepare(place, create=False)
    sender.prepare(place, create=True)
    sender.send([Outgoing(place, b"1")])
    sender.close()
    assert [message.value for message in peek(subject.missing, subject.settings, Look())] == [b"1"]


def test_a_broker_that_is_away_is_an_error(subject: Subject) -> None:
    if subject.away is None:
        return
    with pytest.raises(SourceUnavailable):
        list(peek(subject.source, subject.away, Look(timeout_seconds=1)))
    with pytest.raises(SourceUnavailable):
        open_sender(subject.source, subject.away).prepare(subject.destination, create=False)


def test_a_source_says_where_to_send_what_it_reads(subject: Subject) -> None:
    assert subject.source.destination(subject.destination) == subject.destination
    with pytest.raises(ConfigError, match="does not read 'elsewhere'"):
        subject.source.destination("elsewhere")


def test_what_a_broker_cannot_send_is_refused(subject: Subject) -> None:
    sender = open_sender(subject.source, subject.settings)
    whole = Outgoing(subject.destination, b"1", key=b"k", headers={"h": "v"})
    tombstone = Outgoing(subject.destination, None)
    if subject.source.kind == "kinesis":
        with pytest.raises(ConfigError, match="have no headers"):
            sender.send([whole])
    if subject.source.kind in ("http", "pigeon", "rabbitmq", "kinesis"):
        with pytest.raises(ConfigError, match="tombstones"):
            sender.send([tombstone])
    if subject.source.kind in ("mqtt", "http"):
        with pytest.raises(ConfigError, match="have no key"):
            sender.send([whole])
    if subject.source.kind == "mqtt":
        with pytest.raises(ConfigError, match="only MQTT 5 has headers"):
            sender.send([Outgoing(subject.destination, b"1", headers={"h": "v"})])
    if subject.source.kind == "rabbitmq":
        with pytest.raises(ConfigError, match="have no key"):
            sender.send([whole])
        sender.send([Outgoing(subject.destination, b"1", headers={"h": "v"})])
        (message,) = peek(subject.source, subject.settings, Look(wait_seconds=0.1))
        headers = json.loads(message.headers or "")
        assert (headers["headers"], len(headers["message_id"])) == ({"h": "v"}, 32)
    if subject.source.kind == "kafka":
        with pytest.raises(ConfigError, match="give it a key"):
            sender.send([tombstone])
        sender.send([whole, Outgoing(subject.destination, None, key=b"gone")])
        by_key = {message.key: message for message in peek(subject.source, subject.settings, Look())}
        assert by_key[b"k"].headers == '{"h":"v"}'
        assert by_key[b"gone"].note == "tombstone"
    sender.close()


def test_many_are_sent_in_one_call(subject: Subject) -> None:
    values = [b"%d" % number for number in range(500)]
    assert len({message.value for message in subject.look(*values)}) == 500
