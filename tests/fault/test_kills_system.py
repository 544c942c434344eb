"""kill -9 of a running `millrace up`: the whole tree, the supervisor alone, the daemon; then what it holds.

A start takes half a minute, so these run with `make fault` only (conftest.py).
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import paho.mqtt.client as mqtt
import psutil
import pytest

from ingestion.collect.status import status_file
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from orchestration.records.system_state import read_system_state
from tests.e2e.test_demo import MILLRACE, environment, processes_of
from tests.fault.conftest import Count, Tally
from tests.fault.oracle import KafkaOracle
from tests.fault.seeds import RUNS_KILLED, SYSTEMS_KILLED
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

TOPIC = "production_orders"
DAEMONS_OF_A_SYSTEM = 5
_numbers = numbers()


class Running:
    """`millrace up` as a process, its brokers, and what was sent to them."""

    def __init__(self, folder: Path, kafka: ApacheKafka, mosquitto: Mosquitto) -> None:
        self.count = Count()
        self.folder = folder / "data"
        self._env = environment(self.folder)
        Path(self._env["MILLRACE_ENV_FILE"]).write_text(
            f"MILLRACE_KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}\n"
            f"MILLRACE_MQTT_HOST={mosquitto.host}\nMILLRACE_MQTT_PORT={mosquitto.port}\n"
            "MILLRACE_HTTP_PORT=0\n"
        )
        kafka.create_topic(TOPIC, partitions=2)
        self._oracle = KafkaOracle(kafka.bootstrap_servers, TOPIC)
        self._mosquitto = mosquitto
        self._readings = 0
        self._log = (folder / "up.log").open("w+")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it runs."""
        self.begin()
        eventually(self._collects, "the system runs", seconds=180)

    def begin(self) -> None:
        """Start it as a user would: at once, whatever is still ending."""
        self._up = subprocess.Popen(
            [*MILLRACE, "up", "--no-ui"], cwd=REPOSITORY, env=self._env, stdout=self._log, stderr=self._log
        )

    def _collects(self) -> bool:
        self._log.seek(0)
        assert self._up.poll() is None, self._log.read()[-2000:]
        state = read_system_state(self.folder)
        with suppress(OSError, ValueError):
            told = json.loads(status_file(self.folder, MQTT).read_text())
            return state is not None and state.pid == self._up.pid and bool(told["subscribed"])
        return False

    def send(self) -> None:
        self._oracle.send(100, partitions=2)
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.connect(self._mosquitto.host, self._mosquitto.port)
        client.loop_start()
        for _ in range(100):
            reading = json.dumps({"reading_id": str(next(_numbers))})
            client.publish("plant/a/b/telemetry", reading, qos=1).wait_for_publish(60)
        client.disconnect()
        client.loop_stop()
        self._readings += 100
        self.count.events += 200

    def kill(self, victim: str) -> None:
        """Kill, and start again what nobody else starts."""
        if victim == "daemon":
            eventually(lambda: self._daemon() is not None, "the daemon runs", seconds=90)
            daemon = self._daemon()
            assert daemon is not None
            daemon.kill()
            self.count.kills += 1
            return
        self.end(victim)
        self.start()

    def end(self, victim: str) -> None:
        """Kill the whole tree, or the supervisor alone."""
        victims = processes_of(self.folder) if victim == "tree" else [psutil.Process(self._up.pid)]
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()
                self.count.kills += 1
        self._up.wait()

    def _daemon(self) -> psutil.Process | None:
        """The daemon, if it lives."""
        state = read_system_state(self.folder)
        rows = state.services if state is not None else ()
        with suppress(psutil.NoSuchProcess):
            for row in rows:
                if row.name == "daemon" and row.pid and psutil.Process(row.pid).status() != "zombie":
                    return psutil.Process(row.pid)
        return None

    def violations(self) -> list[str]:
        try:
            with Lake(load_settings(data_dir=self.folder), read_only=True) as lake:
                held = self._oracle.violations(lake, TOPIC)
                # A reading whose acknowledgement was lost comes again: raw may hold it twice, staging once.
                ((readings, distinct),) = lake.query(
                    "select count(*), count(distinct reading_id) from staging.stg_plant_telemetry"
                )
        except (MillraceError, duckdb.Error) as error:
            return [str(error)]
        if not readings == distinct == self._readings:
            held.append(f"{readings} readings in staging, {distinct} different, {self._readings} sent")
        return held

    def stop(self) -> None:
        self._up.terminate()
        assert self._up.wait(120) == 0
        assert processes_of(self.folder) == []


@pytest.fixture
def running(
    tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    running = Running(tmp_path, apache_kafka, mosquitto)
    yield running
    for process in processes_of(running.folder):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    apache_kafka.delete_topic(TOPIC)


@pytest.mark.parametrize("victim", ["tree", "supervisor", "daemon"])
def test_a_killed_system_starts_again_and_nothing_is_lost_or_doubled(
    running: Running, tally: Tally, victim: str
) -> None:
    for number in range(RUNS_KILLED if victim == "daemon" else SYSTEMS_KILLED):
        if victim == "daemon" and number % DAEMONS_OF_A_SYSTEM == 0 and number:
            running.stop()  # its supervisor would wait ever longer
            running.start()
        running.send()
        running.kill(victim)
        running.send()
    try:
        eventually(lambda: running.violations() == [], "everything is there, once", seconds=120)
    finally:
        running.count.violations = len(running.violations())
        tally.places[f"up: {victim}"] = running.count
    running.stop()
