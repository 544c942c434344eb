"""The README's path, as a new user walks it: demo, a project of one's own, real brokers, `up`, its end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from kafka import KafkaProducer

from orchestration.system.lock import STOP_SECONDS
from tests.conftest import there
from tests.e2e.test_demo import processes_of
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

MILLRACE = Path(sys.executable).with_name("millrace")
DEMO = ("--data-dir", ".millrace-demo")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("each starts whole systems, and stops them"),
    pytest.mark.timeout(900),
]


def environment(**variables: str) -> dict[str, str]:
    """A new user's: nothing of Millrace is set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")} | variables


def millrace(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as it is typed in a folder."""
    return subprocess.run(
        [MILLRACE, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=240
    )


def answer(folder: Path, sql: str, *options: str) -> list[dict[str, object]]:
    """What `millrace query` answers; nothing when it cannot yet."""
    done = millrace(folder, *options, "query", "--json", sql)
    rows: list[dict[str, object]] = json.loads(done.stdout) if done.returncode == 0 else []
    return rows


@contextmanager
def started(folder: Path, log: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until it is stopped."""
    with log.open("a") as output:
        process = subprocess.Popen(
            [MILLRACE, *arguments, "--no-ui"],
            cwd=folder, env=environment(**variables), stdout=output, stderr=output, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=STOP_SECONDS)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An empty folder."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def mosquitto(place: Path) -> Iterator[Mosquitto]:
    """A Mosquitto that drops nothing while the collector is away: with its defaults it would, after 1,000."""
    server = there(lambda: Mosquitto(place / "mosquitto", max_queued_messages=100_000))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def pager() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A web server that takes alerts: its address, and what it has received."""
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/t0ken", received
    server.shutdown()
    thread.join()
    server.server_close()


class Senders:
    """Orders over Kafka and deliveries over MQTT; counts what the brokers acknowledged."""

    def __init__(self, kafka: ApacheKafka, mosquitto: Mosquitto) -> None:
        self.acknowledged = {"orders": 0, "deliveries": 0}
        self._producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.connect(mosquitto.host, mosquitto.port)
        self._client.loop_start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        at = "2026-01-01T00:00:00+00:00"
        while not self._stop.wait(0.05):
            number = self.acknowledged["orders"]
            order = {"order_id": f"o{number}", "amount_eur": 1.25, "ordered_at": at}
            sending = self._producer.send("shop_orders", json.dumps(order).encode())
            delivery = {"delivery_id": f"d{number}", "order_id": f"o{number}", "delivered_at": at}
            published = self._client.publish("shop/bike/delivered", json.dumps(delivery), qos=1)
            sending.get(30)
            self.acknowledged["orders"] += 1
            published.wait_for_publish(30)
            self.acknowledged["deliveries"] += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.close()
        self._client.disconnect()
        self._client.loop_stop()


def test_a_demo_runs_in_any_folder_and_ends_with_a_summary(
    place: Path, pager: tuple[str, list[dict[str, str]]]
) -> None:
    log = place / "demo.log"
    url, alerts = pager
    readings = "select sum(readings) as n from marts.machine_minute"
    with started(place, log, "demo", MILLRACE_ALERT_WEBHOOK_URL=url) as demo:
        eventually(lambda: answer(place, readings, *DEMO), "the demo's marts have rows", seconds=180)

        def content() -> bool:
            doctor = millrace(place, *DEMO, "doctor")
            assert "'millrace demo' runs" in doctor.stdout
            problems = [line for line in doctor.stdout.splitlines() if line.startswith("problem")]
            assert all("'press_stopped'" in line for line in problems), doctor.stdout
            assert doctor.returncode == bool(problems), doctor.stdout
            return not problems

        eventually(content, "no press stands still and the doctor has no problem", seconds=180)
        assert f"--data-dir {DEMO[1]}" in millrace(place, "status").stderr
        mine = place / DEMO[1] / "project" / "dbt_project" / "models" / "mine.sql"
        mine.write_text("select * from {{ ref('no_such_model') }}")

        def broken() -> list[dict[str, str]]:
            return [each for each in alerts if each.get("name") == "project_file_broken"]

        eventually(broken, "the demo posts its alert", seconds=300)
        assert "mine.sql" in broken()[0]["sentence"]
        mine.unlink()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(300) == 0, log.read_text()
    assert "Good: every event sent over MQTT, Kafka" in log.read_text()
    assert processes_of(place / DEMO[1]) == []
    assert "its demo has ended" in millrace(place, *DEMO, "doctor").stdout
    assert not (place / ".millrace").exists()


def test_a_project_beside_a_demo_s_folder_runs_on_real_brokers_and_stops_under_load(
    place: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto
) -> None:
    (place / DEMO[1]).mkdir()
    (place / DEMO[1] / "demo").touch()  # what a demo has left
    assert millrace(place, "new", "shop", "--example", "shop").returncode == 0
    shop = place / "shop"
    apache_kafka.create_topic("shop_orders", partitions=2)
    with (shop / ".env").open("a") as env:
        env.write(
            f"MILLRACE_KAFKA_BOOTSTRAP_SERVERS={apache_kafka.bootstrap_servers}\n"
            f"MILLRACE_MQTT_HOST={mosquitto.host}\nMILLRACE_MQTT_PORT={mosquitto.port}\n"
            "MILLRACE_UI_PORT=0\n"
        )
    doctor = millrace(shop, "doctor")
    assert doctor.returncode == 0, doctor.stdout

    log = place / "up.log"
    with started(shop, log, "up") as up:
        eventually(lambda: "Millrace runs on" in log.read_text(), "it runs", seconds=180)
        senders = Senders(apache_kafka, mosquitto)
        try:
            landed = "select count(*) as n from marts.order_delivery where hours_to_delivery = 0"
            eventually(lambda: answer(shop, landed), "orders are in the mart", seconds=120)
        finally:
            before = dict(senders.acknowledged)
            up.terminate()  # in the middle of the load
            code = up.wait(STOP_SECONDS)
            senders.stop()
    assert code == 0, log.read_text()
    assert processes_of(shop / ".millrace") == []
    assert min(before.values()) > 0

    log.write_text("")
    with started(shop, log, "up"):
        for stream, wanted in senders.acknowledged.items():
            sql = f"select count(*) as n from staging.stg_{stream}"
            complete = partial(lambda *asked: answer(shop, asked[0]) == [{"n": asked[1]}], sql, wanted)
            eventually(complete, f"all of {stream} are there", seconds=180)
        done = millrace(shop, "verify")
        assert done.returncode == 0, done.stdout
    with suppress(Exception):
        apache_kafka.delete_topic("shop_orders")
