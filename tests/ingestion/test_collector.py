"""The collector against a real Mosquitto: what was acknowledged is in the spool."""

import itertools
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingestion.collect.status import status_file
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.connectors.mqtt.retry import Retry
from ingestion.errors import ConfigError, StreamBusy
from ingestion.settings import load_settings
from ingestion.spool.log import SpoolLog
from tests.ingestion.collecting import (
    QUICK,
    broker,
    publish,
    running,
    settings_for,
    spooled,
    start_process,
    status_of,
    stream,
    wait_for_subscriptions,
    wait_until,
)
from tests.ingestion.helpers import mqtt_collector
from tests.servers.mosquitto import Mosquitto
from tests.servers.ports import free_ports

pytestmark = pytest.mark.mosquitto


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    server = broker(tmp_path_factory.mktemp("mosquitto"))
    yield server
    server.stop()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_every_message_arrives_once_in_each_stream_that_wants_it(
    shared: Mosquitto, tmp_path: Path, protocol: str
) -> None:
    root = f"p{protocol.replace('.', '')}"
    streams = [
        stream("telemetry", f"{root}/+/telemetry"),
        stream("everything", f"{root}/#"),
        stream("same", f"{root}/#", qos=0),
        stream("exact", f"{root}/line-2/state"),
    ]
    collector = mqtt_collector(settings_for(shared, tmp_path, mqtt_protocol=protocol), streams)
    messages = [
        (f"{root}/line-{number % 3}/{('telemetry', 'state')[number % 2]}", str(number).encode())
        for number in range(600)
    ]
    with running(collector):
        publish(shared, messages)
        counts = {"telemetry": 300, "everything": 600, "same": 600, "exact": 100}
        wait_until(lambda: collector.status()["positions"] == counts)
    wanted = {
        "telemetry": [m for m in messages if m[0].endswith("telemetry")],
        "everything": messages,
        "same": messages,
        "exact": [m for m in messages if m[0] == f"{root}/line-2/state"],
    }
    for name, expected in wanted.items():
        rows = spooled(tmp_path, name)
        found = [(row["event_key"].decode(), row["value"]) for row in rows]
        assert Counter(found) == Counter(expected)
        assert [row["position"] for row in rows] == list(range(len(rows)))
        qos = 0 if name == "same" else 1
        assert all(row["headers"] == {"qos": qos, "retain": False, "dup": False} for row in rows)
        assert all(before["event_time"] <= after["event_time"] for before, after in pairwise(rows))
    status = orjson.loads(status_file(tmp_path, MQTT).read_bytes())
    assert status["connected"] is False
    assert status["error"] == ""
    assert status["unacknowledged"] == 0
    assert status["positions"]["everything"] == 600


def test_payloads_are_spooled_as_they_are(shared: Mosquitto, tmp_path: Path) -> None:
    collector = mqtt_collector(settings_for(shared, tmp_path, mqtt_protocol="5"), [stream("odd", "odd/#")])
    payloads = [b"", b"\0\xff\xfe", b"{", os.urandom(2**20), "ä".encode(), b" " * 70_000]
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.UserProperty = [("trace", "1"), ("trace", "\ufeff2")]
    with running(collector):
        publish(shared, [("odd/ünicode/'; drop", value) for value in payloads], properties=properties)
        publish(shared, [("odd/qos0", b"0")], qos=0)
        wait_until(lambda: collector.status()["positions"]["odd"] == 7)
    rows = spooled(tmp_path, "odd")
    # An empty payload clears a retained message: there is no value.
    assert [row["value"] for row in rows] == [None, *payloads[1:], b"0"]
    assert rows[0]["event_key"] == "odd/ünicode/'; drop".encode()
    assert rows[0]["headers"] == {
        "qos": 1,
        "retain": False,
        "dup": False,
        "content_type": "application/json",
        "user_properties": [["trace", "1"], ["trace", "\ufeff2"]],
    }
    assert rows[-1]["headers"]["qos"] == 0


def test_messages_sent_while_it_is_away_wait_and_retained_ones_come_once(
    shared: Mosquitto, tmp_path: Path
) -> None:
    settings = settings_for(shared, tmp_path)
    publish(shared, [("away/config", b"retained")], retain=True)
    with running(mqtt_collector(settings, [stream("away", "away/#")])) as collector:
        wait_until(lambda: collector.status()["positions"]["away"] == 1)
    publish(shared, [("away/x", b"1"), ("away/x", b"2")])
    with running(mqtt_collector(settings, [stream("away", "away/#")])) as collector:
        wait_until(lambda: collector.status()["positions"]["away"] == 3)
        publish(shared, [("away/x", b"3")])
        wait_until(lambda: collector.status()["positions"]["away"] == 4)
    assert [row["value"] for row in spooled(tmp_path, "away")] == [b"retained", b"1", b"2", b"3"]


def test_a_removed_stream_is_unsubscribed(shared: Mosquitto, tmp_path: Path) -> None:
    settings = settings_for(shared, tmp_path)
    with running(mqtt_collector(settings, [stream("kept", "removal/kept"), stream("gone", "removal/gone")])):
        pass
    publish(shared, [("removal/gone", b"queued by the old subscription"), ("removal/kept", b"1")])
    with running(mqtt_collector(settings, [stream("kept", "removal/kept")])) as collector:
        wait_until(lambda: collector.status()["positions"]["kept"] == 1)
        wait_until(lambda: collector.status()["unrouted"] == 1)
        publish(shared, [("removal/gone", b"nobody asks for it"), ("removal/kept", b"2")])
        wait_until(lambda: collector.status()["positions"]["kept"] == 2)
        assert collector.status()["unrouted"] == 1


def test_sigterm_acknowledges_what_it_took_and_exits_with_0(shared: Mosquitto, tmp_path: Path) -> None:
    values = [str(number).encode() for number in range(8_000)]
    process = start_process(shared, tmp_path)
    wait_for_subscriptions(tmp_path)
    reader = SpoolLog("telemetry", tmp_path / "spool")
    sender = threading.Thread(target=publish, args=(shared, [("plant/a/telemetry", v) for v in values]))
    sender.start()
    wait_until(lambda: reader.bounds()["telemetry-0"].end > 100)
    process.terminate()
    assert process.wait(60) == 0
    status = status_of(tmp_path)
    assert status["connected"] is False
    assert status["unacknowledged"] == 0
    assert status["messages"] == sum(status["positions"].values()) < 2 * len(values)
    process = start_process(shared, tmp_path)
    wait_until(lambda: reader.bounds()["telemetry-0"].end >= len(values))
    sender.join()
    wait_until(lambda: status_of(tmp_path)["pid"] == process.pid)
    process.terminate()
    assert process.wait(60) == 0
    found = Counter(row["value"] for row in spooled(tmp_path, "telemetry"))
    assert found == Counter(values)
    reader.close()


def test_a_wrong_password_is_one_clear_status_without_the_password(tmp_path: Path) -> None:
    server = broker(tmp_path / "broker", users={"reader": "right-one"})
    data_dir = tmp_path / "data"
    retry = Retry(first_seconds=0.01, most_seconds=1.0)
    wrong = settings_for(server, data_dir, mqtt_username="reader", mqtt_password="wrong-one")
    with running(mqtt_collector(wrong, [stream("s", "s/#")], retry=retry), subscribed=False) as collector:
        wait_until(lambda: collector.status()["error"])
        error = collector.status()["error"]
    assert error == (
        f"the MQTT broker at 127.0.0.1:{server.port} refused the user 'reader' (Not authorized);"
        " check MILLRACE_MQTT_USERNAME and MILLRACE_MQTT_PASSWORD"
    )
    right = settings_for(server, data_dir, mqtt_username="reader", mqtt_password="right-one")
    with running(mqtt_collector(right, [stream("s", "s/#")])):
        assert "right-one" not in status_file(data_dir, MQTT).read_text()
    process = start_process(
        server, data_dir, MILLRACE_MQTT_USERNAME="reader", MILLRACE_MQTT_PASSWORD="wrong-one"
    )
    wait_until(lambda: "refused the user" in status_of(data_dir).get("error", ""))
    process.terminate()
    assert process.wait(60) == 0
    output = (data_dir / "out").read_text()
    assert "wrong-one" not in output
    assert output.count("refused the user") == 1
    server.stop()


def test_tls_is_verified_and_works_with_the_right_authority(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so there is no certificate to test with")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    request = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=millrace -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *request.split(), *files], check=True, capture_output=True)
    (port,) = free_ports(1)
    listener = [f"listener {port} 127.0.0.1", f"certfile {certificate}", f"keyfile {key}"]
    server = broker(tmp_path / "broker", extra=listener)
    data_dir = tmp_path / "data"
    tls = settings_for(server, data_dir).replaced(mqtt_port=port, mqtt_tls=True)
    with running(mqtt_collector(tls, [stream("s", "s/#")], retry=QUICK), subscribed=False) as collector:
        wait_until(lambda: collector.status()["error"])
        assert "TLS with the MQTT broker" in collector.status()["error"]
        assert "MILLRACE_MQTT_CA_FILE" in collector.status()["error"]
    trusting = tls.replaced(mqtt_ca_file=certificate)
    with running(mqtt_collector(trusting, [stream("s", "s/#")])) as collector:
        publish(server, [("s/1", b"%d" % number) for number in range(500)])
        wait_until(lambda: collector.status()["positions"]["s"] == 500)
    server.stop()


def test_a_broker_that_restarts_or_forgets_is_found_again(tmp_path: Path) -> None:
    server = broker(tmp_path / "broker", persistence=True)
    data_dir = tmp_path / "data"
    collector = mqtt_collector(settings_for(server, data_dir), [stream("s", "s/#")], retry=QUICK)
    with running(collector):
        publish(server, [("s/1", b"1")])
        wait_until(lambda: collector.status()["positions"]["s"] == 1)
        server.stop()
        wait_until(lambda: not collector.status()["connected"])
        wait_until(lambda: "cannot be reached" in collector.status()["error"])
        server.start()
        wait_until(lambda: collector.status()["connected"])
        assert collector.status()["sessions_lost"] == 0
        publish(server, [("s/1", b"2")])
        wait_until(lambda: collector.status()["positions"]["s"] == 2)
        server.kill()
        for saved in (tmp_path / "broker").glob("*.db*"):
            saved.unlink()
        server.start()
        wait_until(lambda: collector.status()["sessions_lost"] == 1 and collector.listener.status().ready)
        publish(server, [("s/1", b"3")])
        wait_until(lambda: collector.status()["positions"]["s"] == 3)
        assert collector.status()["error"] == ""
    assert [row["value"] for row in spooled(data_dir, "s")] == [b"1", b"2", b"3"]
    server.stop()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_that_crashed_back_to_an_older_session_is_asked_for_everything_again(
    tmp_path: Path, protocol: str
) -> None:
    """It knows the session, but not the newer subscription: acknowledged to senders, and for nobody."""
    folder = tmp_path / "broker"
    server = broker(
        folder, extra=["persistence true", f"persistence_location {folder}/", "autosave_interval 1800"]
    )
    settings = settings_for(server, tmp_path / "data", mqtt_protocol=protocol)
    with running(mqtt_collector(settings, [stream("a", "a")], retry=QUICK)):
        pass
    server.save()
    soon = replace(QUICK, renew_seconds=2.0)
    collector = mqtt_collector(settings, [stream("a", "a"), stream("b", "b")], retry=soon)
    with running(collector):
        server.kill()
        wait_until(lambda: not collector.status()["connected"])
        server.start()
        session = collector.listener.connections["a"]  # type: ignore[attr-defined]
        wait_until(lambda: session.generation == 2 and session.connected)
        assert session.session_present
        number = itertools.count(1)

        def arrives() -> bool:
            publish(server, [("b", b"%d" % next(number))])
            return bool(collector.status()["positions"]["b"])

        wait_until(arrives)
    server.stop()


def test_one_collector_for_a_data_folder(shared: Mosquitto, tmp_path: Path) -> None:
    settings = settings_for(shared, tmp_path)
    busy = pytest.raises(StreamBusy, match=f"in use by process {os.getpid()}")
    with running(mqtt_collector(settings, [stream("s", "s/#")])), busy:
        mqtt_collector(settings, [stream("s", "s/#")])


def test_what_is_not_configured_is_said(tmp_path: Path) -> None:
    nowhere = load_settings(data_dir=tmp_path)
    with pytest.raises(ConfigError, match="no MQTT stream is declared"):
        mqtt_collector(nowhere, [])
    with pytest.raises(ConfigError, match="MILLRACE_MQTT_HOST is not set"):
        mqtt_collector(nowhere, [stream("s", "s/#")])
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match="MILLRACE_MQTT_CA_FILE"):
        mqtt_collector(
            load_settings(data_dir=tmp_path, mqtt_host="x", mqtt_tls=True, mqtt_ca_file=missing),
            [stream("s", "s/#")],
        )
