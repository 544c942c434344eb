"""A steady producer as a process: order events to Kafka, readings to MQTT, each with its own clock inside.

`python -m benchmarks.sender --help`; it prints what the brokers acknowledged as JSON when it ends.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import paho.mqtt.client as mqtt
from kafka import KafkaProducer
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.system import ORDERS, PARTITIONS
from orchestration.demo.machines import read_machines
from tests.repository import REPOSITORY

_STAGES = ("created", "started", "completed")
_TICK_SECONDS = 0.02


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Orders:
    """Orders of three events each, one record an event."""

    def __init__(self, servers: str, run: str) -> None:
        self.acknowledged = 0
        self._run = run
        self._sent = 0
        self._machines = read_machines(REPOSITORY / "dbt_project" / "seeds" / "machines.csv")
        self._producer = KafkaProducer(
            bootstrap_servers=servers, acks="all", linger_ms=5, compression_type="lz4"
        )

    def send(self) -> None:
        number, stage = divmod(self._sent, len(_STAGES))
        order = f"{self._run}-{number:08d}"
        event = {
            "order_event_id": f"{order}-{_STAGES[stage]}",
            "order_id": order,
            "machine_id": self._machines[number % len(self._machines)].machine_id,
            "product": "bracket",
            "quantity": 1 + number % 500,
            "event": _STAGES[stage],
            "occurred_at": _now(),
        }
        self._sent += 1
        future = self._producer.send(ORDERS, orjson.dumps(event), partition=number % PARTITIONS)
        future.add_callback(self._count)

    def _count(self, _: Any) -> None:
        self.acknowledged += 1

    def finish(self) -> int:
        self._producer.close()
        return self.acknowledged


class Telemetry:
    """Readings of every machine in turn, QoS 1."""

    def __init__(self, port: int, run: str) -> None:
        self.acknowledged = self._sent = 0
        self._run, self._dice = run, random.Random(7)
        self._machines = read_machines(REPOSITORY / "dbt_project" / "seeds" / "machines.csv")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"sender-{run}")
        self._client.max_inflight_messages_set(1_000)
        self._client.on_publish = self._count
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self) -> None:
        machine = self._machines[self._sent % len(self._machines)]
        event = {
            "reading_id": f"{self._run}-{self._sent:08d}",
            "machine_id": machine.machine_id,
            "line_id": machine.line_id,
            "measured_at": _now(),
            "temperature_celsius": round(self._dice.gauss(machine.nominal_celsius, 2.0), 2),
            "vibration_mm_s": round(abs(self._dice.gauss(machine.nominal_vibration_mm_s, 0.2)), 3),
            "power_kw": round(machine.rated_power_kw * self._dice.random(), 2),
            "status": "running",
        }
        self._sent += 1
        topic = f"plant/{machine.line_id}/{machine.machine_id}/telemetry"
        self._client.publish(topic, orjson.dumps(event), qos=1)

    def _count(self, *_: Any) -> None:
        self.acknowledged += 1

    def finish(self) -> int:
        deadline = time.monotonic() + 60
        while self.acknowledged < self._sent and time.monotonic() < deadline:
            time.sleep(0.02)
        self._client.disconnect()
        self._client.loop_stop()
        return self.acknowledged


def pace(send: list[Callable[[], None]], *, rate: float, seconds: float, burst: float) -> None:
    """Call the senders in turn, `rate` times a second together, `burst` times that in the middle tenth.

    Args:
        send: Each sends one event.
        rate: Events a second, of all of them.
        seconds: How long.
        burst: 1 for an even rate.
    """
    started, due, sent = time.monotonic(), 0.0, 0
    before = started
    while (now := time.monotonic()) - started < seconds:
        middle = 0.45 <= (now - started) / seconds < 0.55
        due += (now - before) * rate * (burst if middle else 1.0)
        before = now
        while sent < due:
            send[sent % len(send)]()
            sent += 1
        time.sleep(_TICK_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka")
    parser.add_argument("--mqtt-port", type=int)
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second, both brokers together")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--burst", type=float, default=1.0, help="factor during the middle tenth")
    parser.add_argument("--run", default=f"{time.time_ns():x}")
    options = parser.parse_args()
    senders: dict[str, Orders | Telemetry] = {}
    if options.kafka:
        senders["production_orders"] = Orders(options.kafka, options.run)
    if options.mqtt_port:
        senders["plant_telemetry"] = Telemetry(options.mqtt_port, options.run)
    pace(
        [sender.send for sender in senders.values()],
        rate=options.rate, seconds=options.seconds, burst=options.burst,
    )  # fmt: skip
    print(json.dumps({name: sender.finish() for name, sender in senders.items()}))


if __name__ == "__main__":
    main()
