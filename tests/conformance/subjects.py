"""What the suites need to know about each registered kind: how to send to it, and how to damage its log."""

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pika
from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.log.port import Log
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.fakes import tape
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.rabbitmq import RabbitMq


@dataclass
class LogSubject:
    """A stream of one kind with a log that a test may fill and damage.

    Attributes:
        stream: The stream.
        settings: How its broker is reached.
        away: The same with a broker that nobody reaches; None where nothing is connected.
        refused: The same with a login that the broker refuses, and what must not be in the error; None where
            there are no logins.
        send: Append values with the times that they get; None: the broker's own.
        erase: Delete the events below a position; None where a test of its own does that.
        replace: Delete the log and make it again, with one event.
        remove: Delete it.
        put_back: Keep a copy of the log as it is, and return what puts it back; None where a test of its own
            does that.
        send_with_holes: Append values among positions that hold nothing; None where there are no holes.
        nothing: What a null value is read as; something else than None where the broker has no tombstones.
    """

    stream: Stream
    settings: Settings
    away: Settings | None
    send: Callable[[Sequence[bytes | None], datetime | None], None]
    erase: Callable[[int], None] | None
    replace: Callable[[], None]
    remove: Callable[[], None]
    send_with_holes: Callable[[Sequence[bytes]], None] | None = None
    put_back: Callable[[], Callable[[], None]] | None = None
    refused: Callable[[], tuple[Settings, str]] | None = None
    nothing: bytes | None = None
    opened: list[Log] = field(default_factory=list)

    def open(self, settings: Settings | None = None, *, timeout_seconds: float = 10) -> Log:
        """A log of its own connections, closed by the fixture."""
        self.opened.append(open_log(self.stream, settings or self.settings, timeout_seconds=timeout_seconds))
        return self.opened[-1]


def tape_subject(settings: Settings, name: str) -> LogSubject:
    """The fake log."""
    deck = tape.DECKS[name]
    deck.reels[name] = tape.Reel()

    def send(values: Sequence[bytes | None], at: datetime | None) -> None:
        deck.reels[name].record(*values, at=at)

    def erase(below: int) -> None:
        reel = deck.reels[name]
        reel.begin = below
        reel.events = {position: event for position, event in reel.events.items() if position >= below}

    def replace() -> None:
        deck.reels[name] = tape.Reel(log_id="second")
        deck.reels[name].record(b"new")

    def send_with_holes(values: Sequence[bytes]) -> None:
        for value in values:
            deck.reels[name].record(value)
            deck.reels[name].end += 1

    def down(settings: Settings) -> Settings:
        tape.DECKS[f"{name}-off"].down = True
        return settings.replaced(tape_deck=f"{name}-off")

    def put_back() -> Callable[[], None]:
        earlier = copy.deepcopy(deck.reels[name])
        return lambda: deck.reels.update({name: earlier})

    return LogSubject(
        Stream.model_validate({"name": "s", "source": {"tape": name}}),
        settings.replaced(tape_deck=name), down(settings), send, erase, replace,
        lambda: deck.reels.pop(name) and None, send_with_holes, put_back,
    )  # fmt: skip


def kafka_subject(settings: Settings, name: str, broker: ApacheKafka, client: str) -> LogSubject:
    """A topic of one partition on a real Kafka, read by one of the clients."""
    broker.create_topic(name, partitions=1)

    def producer(**options: object) -> Producer:
        return Producer({"bootstrap.servers": broker.bootstrap_servers, **options})

    def send(values: Sequence[bytes | None], at: datetime | None) -> None:
        sending = producer()
        for value in values:
            times = {} if at is None else {"timestamp": int(at.timestamp() * 1000)}
            sending.produce(name, value, partition=0, **times)
        assert sending.flush(60) == 0

    def erase(below: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        admin.delete_records({TopicPartition(name, 0): below})
        admin.close()

    def replace() -> None:
        broker.delete_topic(name)
        broker.create_topic(name, partitions=1)
        send([b"new"], None)

    def send_with_holes(values: Sequence[bytes]) -> None:
        """A marker follows each transaction; aborted records are holes, too."""
        sending = producer(**{"transactional.id": f"t-{name}"})
        sending.init_transactions(20)
        for value in values:
            sending.begin_transaction()
            sending.produce(name, b"aborted", partition=0)
            sending.flush(60)
            sending.abort_transaction(20)
            sending.begin_transaction()
            sending.produce(name, value, partition=0)
            sending.commit_transaction(20)

    known = settings.replaced(kafka_bootstrap_servers=broker.bootstrap_servers, kafka_client=client)
    return LogSubject(
        Stream.model_validate({"name": "s", "source": {"kafka": name}}),
        known, known.replaced(kafka_bootstrap_servers="127.0.0.1:1"), send, erase, replace,
        lambda: broker.delete_topic(name), send_with_holes,
    )  # fmt: skip


def rabbitmq_stream_subject(settings: Settings, name: str, broker: RabbitMq) -> LogSubject:
    """A stream queue of a real RabbitMQ; what retention deletes: tests/ingestion/test_rabbitmq_streams.py."""
    broker.declare(name, "stream")
    sent: list[tuple[bytes, dict[str, int]]] = []

    def publish(messages: Sequence[tuple[bytes, dict[str, int]]]) -> None:
        with broker.channel() as channel:
            for value, times in messages:
                channel.basic_publish("", name, value, pika.BasicProperties(**times))

    def send(values: Sequence[bytes | None], at: datetime | None) -> None:
        times = {} if at is None else {"timestamp": int(at.timestamp())}
        messages = [(value or b"", times) for value in values]
        sent.extend(messages)
        publish(messages)

    def make_again(messages: Sequence[tuple[bytes, dict[str, int]]]) -> None:
        broker.delete(name)
        broker.declare(name, "stream")
        publish(messages)

    def put_back() -> Callable[[], None]:
        earlier = list(sent)
        return lambda: make_again(earlier)

    known = settings.replaced(rabbitmq_host=broker.host, rabbitmq_port=broker.port)
    return LogSubject(
        Stream.model_validate({"name": "s", "source": {"rabbitmq": {"stream": name}}}),
        known, known.replaced(rabbitmq_port=1), send, None, lambda: make_again([(b"new", {})]),
        lambda: broker.delete(name), put_back=put_back, nothing=b"",
        refused=lambda: (
            known.replaced(rabbitmq_username="reader", rabbitmq_password="wr0ng-and-private"),
            "wr0ng-and-private",
        ),
    )  # fmt: skip


def spool_subject(settings: Settings, name: str) -> LogSubject:
    """A spool, which is the log of every kind that is collected; each value is a segment of its own."""
    stream = Stream.model_validate({"name": name.replace("-", "_"), "source": {"mqtt": "t/#"}})
    folder = settings.data_dir / "spool" / stream.name

    def send(values: Sequence[bytes | None], at: datetime | None) -> None:
        writer = SpoolWriter(folder, segment_bytes=1)
        for value in values:
            moment = at or datetime.now(UTC)
            writer.append([SpoolEvent(b"t/1", value, None, int(moment.timestamp() * 1_000_000))])
            writer.commit()
        writer.close()

    def erase(below: int) -> None:
        for segment in folder.glob("*.spool"):
            if int(segment.stem) < below:
                segment.unlink()

    def replace() -> None:
        shutil.rmtree(folder)
        send([b"new"], None)

    def put_back() -> Callable[[], None]:
        earlier = shutil.copytree(folder, settings.data_dir / "earlier")

        def put() -> None:
            shutil.rmtree(folder)
            shutil.move(earlier, folder)

        return put

    return LogSubject(
        stream, settings, None, send, erase, replace, lambda: shutil.rmtree(folder), put_back=put_back
    )
