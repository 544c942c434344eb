"""The whole system as its user starts it, `millrace up`, on real brokers and a data folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ingestion.collect.status import status_file
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.data_folder import system_is_running
from ingestion.settings import Settings, load_settings
from orchestration.records.system_state import STATE_FILE
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka, KafkaServer
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

ORDERS, TELEMETRY = "production_orders", "plant_telemetry"
PARTITIONS = 2


@dataclass(frozen=True)
class Brokers:
    """Apache Kafka with the topic of orders, and Mosquitto."""

    kafka: ApacheKafka
    mosquitto: Mosquitto

    def settings(self) -> dict[str, str]:
        """Field of Settings → value."""
        return {
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "mqtt_host": self.mosquitto.host,
            "mqtt_port": str(self.mosquitto.port),
        }


@contextmanager
def brokers(folder: Path) -> Iterator[Brokers]:
    """Start both; they end with the block."""
    kafka = KafkaServer(folder / "kafka", cache=REPOSITORY / ".pytest_cache")
    # As an operator would set it for a subscriber that may pause: Mosquitto drops beyond this.
    mosquitto = Mosquitto(folder / "mosquitto", max_queued_messages=1_000_000, max_inflight_messages=2_000)
    try:
        kafka.start()
        mosquitto.start()
        kafka.create_topic(ORDERS, partitions=PARTITIONS)
        yield Brokers(kafka, mosquitto)
    finally:
        mosquitto.stop()
        kafka.stop()


@dataclass(frozen=True)
class Running:
    """A running `millrace up`."""

    process: subprocess.Popen[bytes]
    data_dir: Path

    def roots(self) -> list[int]:
        """The supervisor and its services; the embedded PostgreSQL need not be its child."""
        with suppress(OSError, ValueError, KeyError):
            state = json.loads((self.data_dir / STATE_FILE).read_text())
            return [self.process.pid, *(row["pid"] for row in state["services"] if row["pid"])]
        return [self.process.pid]

    def settings(self) -> Settings:
        """As every process of this folder reads them now."""
        return load_settings(data_dir=self.data_dir)


def environment(data_dir: Path, values: dict[str, str]) -> dict[str, str]:
    """Ours without any MILLRACE_ variable or .env, and the settings given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    own = {f"MILLRACE_{name.upper()}": value for name, value in values.items()}
    return kept | own | {"MILLRACE_DATA_DIR": str(data_dir), "MILLRACE_ENV_FILE": os.devnull}


@contextmanager
def millrace_up(data_dir: Path, values: dict[str, str], *, ui: bool = True) -> Iterator[Running]:
    """Start it and wait until every service runs and the collector listens; stop it after the block."""
    argv = [sys.executable, "-c", "from orchestration.cli import main; main()", "up"]
    data_dir.mkdir(parents=True, exist_ok=True)
    with open(data_dir / "up.log", "wb") as log:
        process = subprocess.Popen(
            argv if ui else [*argv, "--no-ui"],
            cwd=REPOSITORY, env=environment(data_dir, {"ui_port": "0", **values}), stdout=log, stderr=log,
        )  # fmt: skip

    def ready() -> bool:
        assert process.poll() is None, (data_dir / "up.log").read_text()[-2000:]
        with suppress(OSError, ValueError, KeyError):
            state = json.loads((data_dir / STATE_FILE).read_text())
            subscribed = json.loads(status_file(data_dir, MQTT).read_text())["subscribed"]
            return bool(subscribed and state["services"] and all(row["running"] for row in state["services"]))
        return False

    try:
        eventually(ready, "millrace up is up", seconds=180)
        yield Running(process, data_dir)
    finally:
        process.terminate()
        process.wait(150)
        assert not system_is_running(data_dir)
