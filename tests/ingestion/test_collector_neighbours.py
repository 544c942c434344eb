"""What a broker does to a collector because of others: drops, a flood of retained messages, a twin."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import pytest

from ingestion.collect.collector import Collector
from ingestion.settings import Settings, load_settings
from tests.ingestion.collecting import QUICK, publish, running, settings_for, spooled, stream, wait_until
from tests.ingestion.helpers import mqtt_collector
from tests.servers.mosquitto import Mosquitto

pytestmark = pytest.mark.mosquitto

COUNTS_EVERY_SECOND = ("sys_interval 1",)


def test_messages_that_the_broker_dropped_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Mosquitto(tmp_path / "broker", max_queued_messages=5, extra=COUNTS_EVERY_SECOND)
    server.start()
    settings, streams = settings_for(server, tmp_path / "data"), [stream("s", "dropped/#")]
    try:
        with running(mqtt_collector(settings, streams, retry=QUICK)) as collector:
            wait_until(lambda: "drops" in [path.stem for path in (tmp_path / "data").rglob("*.json")])
            assert collector.status()["dropped"] == 0
        publish(server, [("dropped/1", b"%d" % number) for number in range(100)])
        time.sleep(1.5)  # the broker counts once a second, and nobody is there to see it
        with running(mqtt_collector(settings, streams, retry=QUICK)) as collector:
            wait_until(lambda: collector.status()["dropped"])
            told = collector.status()
    finally:
        server.stop()
    kept = len(spooled(tmp_path / "data", "s"))
    assert kept + told["dropped"] == 100
    assert kept < 100
    assert f"dropped {told['dropped']} messages" in told["warning"]
    assert "max_queued_messages" in told["warning"]
    assert told["warning"] in "".join(capsys.readouterr())  # stderr after a test that ran the command


def test_a_flood_of_retained_messages_arrives_once_and_not_again(tmp_path: Path) -> None:
    server = Mosquitto(tmp_path / "broker", max_queued_messages=0)
    server.start()
    settings, streams = settings_for(server, tmp_path / "data"), [stream("s", "flood/#")]

    def collected(count: int) -> None:
        with running(mqtt_collector(settings, streams, retry=QUICK)) as collector:
            publish(server, [("flood/0", b"now")])  # behind what is retained
            wait_until(lambda: collector.status()["positions"]["s"] >= count)

    try:
        publish(server, [(f"flood/{number}", b"1") for number in range(3_000)], retain=True)
        collected(3_001)
        collected(3_002)
    finally:
        server.stop()
    rows = spooled(tmp_path / "data", "s")
    assert len(rows) == 3_002
    assert len({row["event_key"] for row in rows if row["headers"]["retain"]}) == 3_000


@contextmanager
def giving_reasons(server: Mosquitto) -> Iterator[int]:
    """The port of a proxy that tells why, as MQTT 5 has it: Mosquitto 2.0.11 only closes the connection."""
    session_taken_over = b"\xe0\x01\x8e"

    def answers(client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while data := broker.recv(65_536):
                client.sendall(data)
            client.sendall(session_taken_over)
        client.close()

    def requests(client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                broker.sendall(data)
            broker.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                ends = listener.accept()[0], socket.create_connection((server.host, server.port))
                for what in (answers, requests):
                    threading.Thread(target=what, args=ends, daemon=True).start()

    with socket.create_server((server.host, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_two_collectors_with_one_client_id_are_told_and_stop_fighting(tmp_path: Path) -> None:
    server = Mosquitto(tmp_path / "broker")
    server.start()
    one, two = (settings_for(server, tmp_path / name) for name in ("one", "two"))
    try:
        with twins(one, two) as (first, second, client_id):
            both = (first, second)
            wait_until(lambda: any(f"'{client_id}'" in one.listener.status().error for one in both))
            assert any("session.json" in one.status()["error"] for one in both)
            time.sleep(1)  # the other one may have been about to try when this one said so
            connections = sum(one.status()["connections"] for one in both)
            assert connections < 8
            time.sleep(2)
            assert sum(one.status()["connections"] for one in both) == connections
    finally:
        server.stop()


def test_a_broker_that_names_the_twin_is_believed_at_once(tmp_path: Path) -> None:
    server = Mosquitto(tmp_path / "broker")
    server.start()
    try:
        with giving_reasons(server) as port:
            one, two = (settings_for(server, tmp_path / name, mqtt_protocol="5") for name in ("one", "two"))
            with twins(one.replaced(mqtt_port=port), two) as (first, second, client_id):
                wait_until(lambda: first.listener.status().error)
                assert (
                    f"gave our session to another client with our client id '{client_id}'"
                    in (first.status()["error"])
                )
                time.sleep(1)  # after any other loss it would be back
                assert (first.status()["connections"], second.status()["connections"]) == (1, 1)
    finally:
        server.stop()


@contextmanager
def twins(one: Settings, two: Settings) -> Iterator[tuple[Collector, Collector, str]]:
    """Two collectors, the second on a copy of the first one's session, and their client id."""
    session, streams = one.data_dir / "collector" / "session.json", [stream("s", "twins/#")]
    with running(mqtt_collector(one, streams)) as first:
        (two.data_dir / "collector").mkdir(parents=True)
        shutil.copy(session, two.data_dir / "collector")
        with running(mqtt_collector(two, streams)) as second:
            yield first, second, f"{orjson.loads(session.read_bytes())['client_id']}-s"


def test_a_broker_that_sends_rubbish_is_not_taken_for_a_twin(tmp_path: Path) -> None:
    """It ends each connection as quickly as a twin would, but ours is the side that hangs up."""
    connack, publish_cut_short = b"\x20\x03\x00\x00\x00", b"\x32\x06\x00\x01a\x00\x01\x7f"
    connections = 0

    def accept() -> None:
        nonlocal connections
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                client.recv(65_536)
                client.sendall(connack + publish_cut_short)
                connections += 1

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        settings = load_settings(
            data_dir=tmp_path,
            mqtt_host="127.0.0.1",
            mqtt_port=listener.getsockname()[1],
            mqtt_protocol="5",
        )
        collector = mqtt_collector(settings, [stream("s", "s")], retry=QUICK)
        with running(collector, subscribed=False):
            wait_until(lambda: connections >= 5)
            wait_until(lambda: collector.listener.status().error)
            assert "brought what cannot be read" in collector.listener.status().error
        listener.shutdown(socket.SHUT_RDWR)
