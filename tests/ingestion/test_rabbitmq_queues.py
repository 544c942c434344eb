"""RabbitMQ queues through the collector: what comes again, what a queue may do to it, and who may read it."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pika import BasicProperties
from pika.exceptions import ChannelClosedByBroker

from ingestion import libraries
from ingestion.collect.collector import Collector
from ingestion.connectors.durability import Reading
from ingestion.connectors.messages import Outgoing
from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.connector import RABBITMQ, RabbitConnector
from ingestion.connectors.rabbitmq.declare import Place
from ingestion.connectors.rabbitmq.message import headers_of
from ingestion.connectors.rabbitmq.refusals import refused_channel
from ingestion.connectors.rabbitmq.retry import Retry
from ingestion.declare.logs import open_log
from ingestion.declare.sources import open_sender
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.faultpoints import install_hook
from ingestion.log.port import Window
from ingestion.settings import Settings, load_settings
from orchestration.cli.examine_sources import brokers
from tests.names import numbers
from tests.servers import SECURED_PASSWORD, SECURED_USER
from tests.servers.certificates import Certificates
from tests.servers.cuttable import Cuttable
from tests.servers.rabbitmq import GUARDED, RabbitMq
from tests.waiting import eventually

QUICK = RabbitConnector(retry=Retry(first_seconds=0.05, most_seconds=0.2))
_numbers = numbers()


@pytest.fixture
def queue() -> str:
    """A name that no other test uses."""
    return f"queue-{next(_numbers)}"


@pytest.fixture
def there(rabbitmq: RabbitMq, tmp_path: Path) -> Settings:
    """Settings with the broker and a data folder of the test's own."""
    return load_settings(data_dir=tmp_path / "data", rabbitmq_host=rabbitmq.host, rabbitmq_port=rabbitmq.port)


def stream(queue: str, name: str = "s", **options: object) -> Stream:
    return Stream.model_validate({"name": name, "source": {"rabbitmq": queue} | options})


@contextmanager
def collecting(settings: Settings, *streams: Stream) -> Iterator[Collector]:
    collector = Collector(settings, streams, connector=QUICK)
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        yield collector
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def full_disk() -> Iterator[None]:
    """No spool can be written."""

    def broken(place: str) -> None:
        if place == "spool.written":
            raise OSError(28, "No space left on device")

    install_hook(broken)
    try:
        yield
    finally:
        install_hook(None)


def spooled(settings: Settings, of: Stream) -> list[dict[str, Any]]:
    with closing(open_log(of, settings)) as log:
        windows = {name: Window(found.begin, found.end) for name, found in log.bounds().items()}
        rows = [row for chunk in log.read(windows) for row in chunk.events.to_pylist()]
    return [row | {"headers": json.loads(row["headers"])} for row in rows]


def values(rows: Sequence[dict[str, Any]]) -> list[bytes]:
    return [row["value"] for row in rows]


def position(collector: Collector, name: str = "s") -> int:
    return int(collector.status()["positions"][name])


def test_what_cannot_be_stored_comes_again_and_says_so(
    there: Settings, rabbitmq: RabbitMq, queue: str
) -> None:
    """A quorum queue counts each time, and gives a message up at its limit."""
    rabbitmq.declare(f"{queue}-dead")
    rabbitmq.declare(
        queue, "quorum", **{"x-delivery-limit": 1, "x-dead-letter-exchange": "",
                            "x-dead-letter-routing-key": f"{queue}-dead"},
    )  # fmt: skip
    rabbitmq.publish(queue, [b"1", b"2"], message_id="m")
    of = stream(queue)
    with full_disk(), collecting(there, of) as collector:
        eventually(lambda: collector.status()["error"], "the disk is full")
    with collecting(there, of) as collector:
        eventually(lambda: position(collector) == 2, "both are stored")
    rows = spooled(there, of)
    assert sorted(values(rows)) == [b"1", b"2"]
    for row in rows:
        assert (row["headers"]["redelivered"], row["headers"]["message_id"]) == (True, "m")
        assert row["headers"]["headers"] == {"x-delivery-count": 1}
    rabbitmq.publish(queue, [b"3"])
    for _ in range(2):
        with full_disk(), collecting(there, of) as collector:
            eventually(lambda: collector.status()["error"], "the disk is full")
    eventually(lambda: rabbitmq.count(f"{queue}-dead") == 1, "it is given up at its limit")
    assert rabbitmq.take(f"{queue}-dead") == [b"3"]


def test_after_a_cut_connection_each_is_there_and_the_copies_are_those_redelivered(
    there: Settings, rabbitmq: RabbitMq, queue: str
) -> None:
    rabbitmq.declare(queue)
    wire, sent, of = Cuttable(rabbitmq.port), [b"%d" % number for number in range(400)], stream(queue)
    with collecting(there.replaced(rabbitmq_port=wire.port), of) as collector:
        for start in range(0, 400, 100):
            rabbitmq.publish(queue, sent[start : start + 100])
            eventually(lambda start=start: position(collector) > start, "some are stored")  # type: ignore[misc]
            wire.cut()
        eventually(lambda: set(values(spooled(there, of))) == set(sent), "all are stored")
        eventually(lambda: collector.status()["subscribed"] and not collector.status()["error"], "it is back")
        assert wire.connections > 1
    rows = spooled(there, of)
    copies = sum(count - 1 for count in Counter(values(rows)).values())
    assert copies <= sum(row["headers"]["redelivered"] for row in rows)
    assert rabbitmq.count(queue) == 0
    wire.close()


def test_a_deleted_queue_is_reported_and_stops_no_other(
    there: Settings, rabbitmq: RabbitMq, queue: str
) -> None:
    for name in (queue, f"{queue}-b"):
        rabbitmq.declare(name)
    a, b = stream(queue, "a"), stream(f"{queue}-b", "b")
    with collecting(there, a, b) as collector:
        eventually(lambda: collector.status()["subscribed"], "it consumes")
        rabbitmq.delete(queue)
        eventually(lambda: f"has no queue '{queue}'" in collector.status()["error"], "it says so")
        assert not collector.status()["subscribed"]
        rabbitmq.publish(f"{queue}-b", [b"1"])
        eventually(lambda: position(collector, "b") == 1, "the other goes on")
        rabbitmq.declare(queue, "quorum")
        rabbitmq.publish(queue, [b"2"])
        eventually(lambda: position(collector, "a") == 1, "it goes on by itself")
        assert collector.status()["error"] == ""


def test_what_was_in_hand_when_its_queue_was_deleted_is_kept(
    there: Settings, rabbitmq: RabbitMq, queue: str
) -> None:
    rabbitmq.declare(queue)
    rabbitmq.publish(queue, [b"1", b"2", b"3"])
    of = stream(queue)
    with collecting(there, of) as collector:
        with full_disk():
            eventually(lambda: collector.status()["unacknowledged"] == 3, "they are in hand")
            rabbitmq.delete(queue)
            eventually(lambda: f"'{queue}'" in collector.status()["error"], "it says so")
        eventually(lambda: position(collector) == 3, "ours is the only copy")
    assert values(spooled(there, of)) == [b"1", b"2", b"3"]


def test_the_prefetch_is_the_credit(there: Settings, rabbitmq: RabbitMq, queue: str) -> None:
    rabbitmq.declare(queue)
    rabbitmq.publish(queue, [b"%d" % number for number in range(50)])
    of = stream(queue, prefetch=10)
    with collecting(there, of) as collector:
        with full_disk():
            eventually(lambda: collector.status()["unacknowledged"] == 10, "it holds its credit")
            assert rabbitmq.count(queue) == 40
            eventually(lambda: collector.status()["queued"] == {queue: 40}, "it says what waits", seconds=60)
        eventually(lambda: position(collector) == 50, "all are stored")
    assert len(set(values(spooled(there, of)))) == 50


def test_consumers_share_a_queue_unless_one_wants_it_alone(
    there: Settings, rabbitmq: RabbitMq, queue: str, tmp_path: Path
) -> None:
    rabbitmq.declare(queue)
    other, of = there.replaced(data_dir=tmp_path / "other"), stream(queue, prefetch=1)
    with collecting(there, of) as one, collecting(other, of) as two:
        eventually(lambda: one.status()["subscribed"] and two.status()["subscribed"], "both consume")
        rabbitmq.publish(queue, [b"%d" % number for number in range(40)])
        eventually(lambda: position(one) + position(two) == 40, "all are stored")
        assert min(position(one), position(two)) > 0
        alone = stream(queue, consumer="exclusive")
        with collecting(there.replaced(data_dir=tmp_path / "alone"), alone) as third:
            eventually(lambda: "has another consumer" in third.status()["error"], "it is refused")
    assert len(set(values(spooled(there, of) + spooled(other, of)))) == 40


def test_a_queue_is_made_with_its_bindings_only_where_it_is_asked(
    there: Settings, rabbitmq: RabbitMq, queue: str
) -> None:
    with collecting(there, stream(queue)) as collector:
        eventually(lambda: "set 'create' on its source" in collector.status()["error"], "it is missing")
    made = stream(queue, create="quorum", bind={f"{queue}-x": "order.#"}, exchange_type="topic")
    with collecting(there, made) as collector, rabbitmq.channel() as channel:
        eventually(lambda: collector.status()["subscribed"], "it is made")
        for key in ("order.new", "invoice.new"):
            channel.basic_publish(f"{queue}-x", key, key.encode(), BasicProperties())
        eventually(lambda: position(collector) == 1, "what is bound comes")
    (row,) = spooled(there, made)
    assert (row["event_key"], row["headers"]["exchange"]) == (b"order.new", f"{queue}-x")


def test_a_stream_is_not_consumed_as_a_queue(there: Settings, rabbitmq: RabbitMq, queue: str) -> None:
    rabbitmq.declare(queue, "stream")
    with collecting(there, stream(queue)) as collector:
        eventually(lambda: collector.status()["connected"], "it has connected")
        eventually(
            lambda: rabbitmq.publish(queue, [b"1"]) or "is a stream" in collector.status()["error"],
            "it says how to declare it",
        )
    assert position(collector) == 0


def test_tls_a_virtual_host_and_rights(
    there: Settings, rabbitmq: RabbitMq, queue: str, certificates: Certificates
) -> None:
    rabbitmq.declare(f"open-{queue}", vhost=GUARDED)
    rabbitmq.declare(f"closed-{queue}", vhost=GUARDED)
    rabbitmq.publish(f"open-{queue}", [b"1"], vhost=GUARDED)
    secured = there.replaced(
        rabbitmq_port=rabbitmq.tls_port, rabbitmq_tls=True, rabbitmq_ca_file=certificates.authority,
        rabbitmq_vhost=GUARDED, rabbitmq_username=SECURED_USER, rabbitmq_password=SECURED_PASSWORD,
    )  # fmt: skip
    streams = stream(f"open-{queue}", "a"), stream(f"closed-{queue}", "b")
    with collecting(secured, *streams) as collector:
        eventually(lambda: position(collector, "a") == 1, "it comes")
        eventually(
            lambda: f"does not let user '{SECURED_USER}' use the queue" in collector.status()["error"],
            "the other is refused",
        )
    assert _examined(secured) == ("ok", "")
    for change, said in (
        ({"rabbitmq_password": "wr0ng-one"}, f"refuses user '{SECURED_USER}'"),
        ({"rabbitmq_vhost": "/"}, "into the virtual host '/'"),
        ({"rabbitmq_vhost": "none"}, "into the virtual host 'none'"),
        ({"rabbitmq_ca_file": None}, "TLS with RabbitMQ .* failed"),
        ({"rabbitmq_port": rabbitmq.port}, "TLS with RabbitMQ .* failed"),
        ({"rabbitmq_port": 1}, "cannot be reached"),
    ):
        state, message = _examined(secured.replaced(**change))
        assert state == "problem"
        assert re.search(said, message), message
        assert "wr0ng-one" not in message


def _examined(settings: Settings) -> tuple[str, str]:
    access = settings.access("rabbitmq", RabbitAccess)
    (found,) = RABBITMQ.examine(access, timeout_seconds=5)
    return found.state, found.message if found.state != "ok" else ""


def test_doctor_says_what_waits_and_what_is_missing(there: Settings, rabbitmq: RabbitMq, queue: str) -> None:
    rabbitmq.declare(queue)
    rabbitmq.publish(queue, [b"1", b"2"])
    streams = stream(queue, "a"), stream(f"{queue}-x", "b"), stream(f"{queue}-y", "c", create="quorum")
    found = RABBITMQ.durability(
        [Reading(each.name, each.source) for each in streams], there.access("rabbitmq", RabbitAccess),
        state=Path(), now=datetime.now(UTC), timeout_seconds=15,
    )  # fmt: skip
    waits, missing, made, unknown = found
    assert waits.message == f"RabbitMQ queue {queue} has 2 message(s) that wait and 0 consumer(s)"
    assert (waits.state, missing.state, made.state, unknown.state) == ("ok", "problem", "note", "note")
    assert f"has no queue '{queue}-x'" in missing.message


def test_streams_of_one_queue_want_it_in_one_way(there: Settings, queue: str) -> None:
    with pytest.raises(ConfigError, match=f"'a' and 'b' consume the queue '{queue}' with different options"):
        Collector(there, [stream(queue, "a"), stream(queue, "b", prefetch=1)], connector=QUICK)


def test_everything_beside_the_body_is_kept() -> None:
    properties = BasicProperties(
        message_id="m", correlation_id="c", content_type="application/json", type="order", app_id="shop",
        timestamp=1_772_323_200, priority=3,
        headers={"text": "t", "bytes": b"\xff", "deep": {"list": [1, None, True]}, "x-stream-offset": 7},
    )  # fmt: skip
    assert json.loads(headers_of(properties, exchange="x", redelivered=False)) == {
        "exchange": "x", "redelivered": False, "message_id": "m", "correlation_id": "c",
        "content_type": "application/json", "type": "order", "app_id": "shop", "priority": 3,
        "timestamp": "2026-03-01T00:00:00+00:00",
        "headers": {"text": "t", "bytes": "\\xff", "deep": {"list": [1, None, True]}},
    }  # fmt: skip
    odd = BasicProperties(timestamp=2**60)
    assert json.loads(headers_of(odd, exchange="")) == {"exchange": "", "timestamp": 2**60}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"rabbitmq": {}}, "name either a queue or a stream"),
        ({"rabbitmq": {"queue": "a", "stream": "b"}}, "name either a queue or a stream"),
        ({"rabbitmq": "amq.x"}, "the broker's own"),
        ({"rabbitmq": "a" * 256}, "255 bytes"),
        ({"rabbitmq": "a", "start": "latest"}, "'start' is for streams"),
        ({"rabbitmq": "a", "offset": 3}, "'offset' is for streams"),
        ({"rabbitmq": "a", "on_truncated": "earliest"}, "'on_truncated' is for streams"),
        ({"rabbitmq": "stream:a", "consumer": "exclusive"}, "'consumer' is for queues"),
        ({"rabbitmq": "stream:a", "start": "latest", "offset": 3}, "leave one out"),
        ({"rabbitmq": "a", "create": "stream"}, "another type"),
        ({"rabbitmq": "stream:a", "create": "quorum"}, "another type"),
        ({"rabbitmq": "a", "bind": {"x": "y"}}, "come with 'create'"),
        ({"rabbitmq": "a", "create": "quorum", "exchange_type": "topic"}, "come with 'create'"),
    ],
)
def test_what_a_source_may_not_say(source: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Stream.model_validate({"name": "s", "source": source})


def test_a_client_that_is_not_installed_is_named_with_its_extra(
    there: Settings, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what uses it needs it: other commands, and the processes that preload clients, do without."""
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    said = r"need the package pika: install 'millrace-lakehouse\[rabbitmq\]'"
    with pytest.raises(ConfigError, match=said):
        Collector(there, [stream(queue)], connector=QUICK)
    with pytest.raises(ConfigError, match=said):
        open_log(stream(f"stream:{queue}"), there).bounds()
    (found,) = brokers(there, [stream(queue)])
    assert re.search(said, found.message)
    assert libraries.installed(QUICK.libraries) == ()


def test_what_is_sent_to_a_missing_queue_is_not_taken_for_sent(there: Settings, queue: str) -> None:
    sender = open_sender(stream(queue).source, there)
    with pytest.raises(SourceUnavailable, match=f"has no queue '{queue}'"):
        sender.send([Outgoing(queue, b"1")])
    sender.close()


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: "
         "1800000 ms", "took its messages of 'orders' back.* they come again once there is room"),
        (406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'", "exists with other properties"),
        (405, "RESOURCE_LOCKED - cannot obtain exclusive access", "belongs to one connection alone"),
        (403, "ACCESS_REFUSED - queue 'orders' in vhost '/' in exclusive use", "has another consumer"),
        (541, "INTERNAL_ERROR", r"refuses the queue 'orders' \(541 INTERNAL_ERROR\); look at its log"),
    ],
)  # fmt: skip
def test_each_refusal_has_a_sentence_with_the_way_out(code: int, text: str, said: str) -> None:
    access = RabbitAccess(host="there", vhost="shop")
    error = ChannelClosedByBroker(code, text)
    sentence = refused_channel(access, Place(queue="orders"), error)
    assert re.search(f"^RabbitMQ at there:5672, virtual host 'shop'.*{said}", sentence), sentence
