"""How long it takes until an event that is sent after a fault is in raw, as a reader of the lake sees it."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import paho.mqtt.client as mqtt
import psutil
from kafka import KafkaProducer
from kafka import errors as kafka_errors

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from orchestration.records.system_state import read_system_state

_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 180.0


@dataclass(frozen=True)
class Recovery:
    """One fault.

    Attributes:
        fault: In a few words.
        seconds: From its end to the next event in raw, per stream.
        bound: What is promised, seconds.
    """

    fault: str
    seconds: dict[str, float]
    bound: float

    @property
    def holds(self) -> bool:
        """Whether every stream was there in time."""
        return max(self.seconds.values()) <= self.bound


def table(recoveries: list[Recovery]) -> list[str]:
    """All of them as a Markdown table."""
    streams = list(recoveries[0].seconds) if recoveries else []
    rows = [
        "| "
        + " | ".join(
            [each.fault, *(f"{each.seconds[name]:.1f}" for name in streams), f"{each.bound:.0f}",
             "held" if each.holds else "LATE"]
        )
        + " |"
        for each in recoveries
    ]  # fmt: skip
    head = ["fault", *(f"{name}, s" for name in streams), "bound, s", "verdict"]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows]


class Meter:
    """Sends events to each broker, as a sender that goes on would, and waits until raw has one.

    Kafka gets one. MQTT gets one a second: a broker that forgot its sessions gives a message to nobody until
    its subscriber is back, and nobody ever had it.

    Args:
        data_dir: Of the running system.
        kafka: Bootstrap servers and topic.
        mqtt_port: Of the broker.
    """

    def __init__(self, data_dir: Path, *, kafka: tuple[str, str], mqtt_port: int) -> None:
        self._data_dir, self._kafka, self._mqtt_port = data_dir, kafka, mqtt_port
        self._number = 0

    def measure(self) -> dict[str, float]:
        """Seconds from now on, per stream."""
        began, self._number = time.monotonic(), self._number + 1
        marks = {
            "production_orders": f"kafka mark {self._number}",
            "plant_telemetry": f"mqtt mark {self._number}",
        }
        self._until(lambda: self._send_order(marks["production_orders"]), began)
        found: dict[str, float] = {}
        lake: Lake | None = None
        sent = 0.0
        while len(found) < len(marks):
            assert time.monotonic() - began < _PATIENCE_SECONDS, f"not in raw: {marks.keys() - found.keys()}"
            if (
                "plant_telemetry" not in found
                and time.monotonic() - sent >= 1
                and self._send_reading(marks["plant_telemetry"])
            ):
                sent = time.monotonic()
            time.sleep(_LOOK_SECONDS)
            try:
                lake = lake or Lake(load_settings(data_dir=self._data_dir), read_only=True)
                for stream in marks.keys() - found.keys():
                    sql = f"select count(*) from raw.{stream} where payload::varchar like ?"
                    if lake.query(sql, [f"%{marks[stream]}%"]) != [(0,)]:
                        found[stream] = time.monotonic() - began
            except (MillraceError, duckdb.Error):
                if lake is not None:
                    lake.close()
                lake = None
        if lake is not None:
            lake.close()
        return {name: found[name] for name in marks}

    def _send_order(self, mark: str) -> bool:
        with suppress(OSError, kafka_errors.KafkaError):
            servers, topic = self._kafka
            producer = KafkaProducer(bootstrap_servers=servers, acks="all")
            producer.send(topic, json.dumps({"order_id": mark}).encode()).get(10)
            producer.close()
            return True
        return False

    def _send_reading(self, mark: str) -> bool:
        with suppress(OSError, ValueError, RuntimeError):
            client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
            client.connect("127.0.0.1", self._mqtt_port)
            client.loop_start()
            client.publish("plant/a/b/telemetry", json.dumps({"reading_id": mark}), qos=1).wait_for_publish(
                60
            )
            client.disconnect()
            client.loop_stop()
            return True
        return False

    def _until(self, condition: Callable[[], bool], began: float) -> None:
        while not condition():
            assert time.monotonic() - began < _PATIENCE_SECONDS, "a broker takes nothing"
            time.sleep(_LOOK_SECONDS)


def service(data_dir: Path, name: str) -> psutil.Process:
    """The process of a service of a running system."""
    state = read_system_state(data_dir)
    pid = next(row.pid for row in state.services if row.name == name) if state is not None else None
    assert pid is not None, f"{name} does not run"
    return psutil.Process(pid)


def kill(process: psutil.Process) -> None:
    """kill -9 of one process, as an end that nobody asked for."""
    os.kill(process.pid, signal.SIGKILL)
