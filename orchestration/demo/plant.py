"""The simulated plant as a process: telemetry over MQTT, production orders over Kafka, until SIGTERM.

Run by itself: `python -m orchestration.demo.plant --help`. What the machines do is in machines.py, the orders
in orders.py, what goes wrong on the way in imperfections.py.
"""

import argparse
import dataclasses
import math
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson
import paho.mqtt.client as mqtt
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError
from paho.mqtt.enums import CallbackAPIVersion

from ingestion.json_file import write_json
from orchestration.demo.imperfections import Network
from orchestration.demo.machines import Machine, Reading, Simulation, read_machines
from orchestration.demo.orders import OrderBook, OrderEvent, OrderMessage

ORDERS_TOPIC = "production_orders"
ORDERS_PARTITIONS = 2
ORDERS_PER_READING_RATE = 0.4
_EARLY_FAULTS = 4
_FIRST_FAULT_SECONDS = (8.0, 25.0)
_TICK_SECONDS = 0.05
_SEND_SECONDS = 15.0


@dataclass(frozen=True)
class PlantOptions:
    """What the plant is started with.

    Attributes:
        machines: dbt's seed of machines.
        mqtt_port: On 127.0.0.1.
        kafka_servers: Bootstrap servers.
        report: File that the counts are written to every second.
        rate: Readings a second of each machine.
        seed: Of all randomness.
    """

    machines: Path
    mqtt_port: int
    kafka_servers: str
    report: Path
    rate: float
    seed: int


class Telemetry:
    """Publishes readings at QoS 1 and counts what the broker acknowledged."""

    def __init__(self, port: int) -> None:
        self.acknowledged = 0
        self.sent = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="simulated-plant")
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port, keepalive=30)
        self._client.loop_start()

    def _on_publish(self, *_: Any) -> None:
        self.acknowledged += 1

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand one message over; paho sends it, again after a reconnect if needed."""
        self._client.publish(topic, payload, qos=1)
        self.sent += 1

    def finish(self, *, timeout_s: float) -> None:
        """Wait until all is acknowledged, then disconnect."""
        deadline = time.monotonic() + timeout_s
        while self.acknowledged < self.sent and time.monotonic() < deadline:
            time.sleep(0.02)
        self._client.disconnect()
        self._client.loop_stop()


class Orders:
    """Produces order events, one record a batch."""

    def __init__(self, servers: str) -> None:
        self.sent = 0
        self.tombstones = 0
        create_orders_topic(servers)
        # The embedded broker reports as the log's end the base offset of its last batch plus one. The other
        # records of that batch would stay unseen, so each record gets its own batch.
        self._producer = KafkaProducer(
            bootstrap_servers=servers, client_id="simulated-plant", batch_size=0, linger_ms=0, acks="all",
            compression_type=None,
        )  # fmt: skip

    def send(self, message: OrderMessage) -> None:
        """Send one record and wait for the broker."""
        value = None if message.event is None else encoded(message.event)
        future = self._producer.send(ORDERS_TOPIC, key=message.order_id.encode(), value=value)
        future.get(timeout=_SEND_SECONDS)
        self.sent += 1
        self.tombstones += value is None

    def finish(self) -> None:
        """Close the connection."""
        self._producer.close(timeout=_SEND_SECONDS)


class Plant:
    """All machines and orders, advanced by `tick`.

    Args:
        options: What it is started with.
        machines: Its machines.
        telemetry: Takes readings.
        orders: Takes order events.
    """

    def __init__(
        self, options: PlantOptions, machines: tuple[Machine, ...], *, telemetry: Telemetry, orders: Orders
    ) -> None:
        self._options = options
        self._telemetry = telemetry
        self._orders = orders
        random = _random(options.seed)
        early = set(random.sample(range(len(machines)), k=min(_EARLY_FAULTS, len(machines))))
        self._simulations = [
            Simulation(
                machine,
                _random(random.random()),
                first_fault_s=random.uniform(*_FIRST_FAULT_SECONDS) if index in early else None,
            )
            for index, machine in enumerate(machines)
        ]
        self._next_s = [random.uniform(0.0, 1.0 / options.rate) for _ in machines]
        self._network = Network(_random(random.random()))
        self._book = OrderBook(
            machines,
            _random(random.random()),
            orders_per_second=ORDERS_PER_READING_RATE * options.rate,
            run_id=uuid.uuid4().hex[:6],
        )
        self._planned: list[OrderMessage] = []

    def tick(self, elapsed_s: float, *, now_s: float) -> None:
        """Send what is due.

        Args:
            elapsed_s: Seconds since the start.
            now_s: Seconds since 1970.
        """
        for index, simulation in enumerate(self._simulations):
            while self._next_s[index] <= elapsed_s:
                at_s = self._next_s[index]
                reading = simulation.read(at_s, now_s=now_s - (elapsed_s - at_s))
                self._network.take(topic_of(reading), encoded(reading), elapsed_s=elapsed_s)
                self._next_s[index] += 1.0 / self._options.rate
        self._deliver(elapsed_s)
        self._planned.extend(self._book.due(elapsed_s, now_s=now_s))
        while self._planned:
            self._orders.send(self._planned[0])
            self._planned.pop(0)

    def finish(self) -> None:
        """Deliver what was held back, and wait until the brokers have everything."""
        self._deliver(math.inf)
        self._telemetry.finish(timeout_s=_SEND_SECONDS)
        self._orders.finish()

    def report(self, *, finished: bool) -> dict[str, object]:
        """What was sent so far."""
        return {
            **dataclasses.asdict(self._network.counts),
            "mqtt_messages": self._telemetry.acknowledged,
            "kafka_records": self._orders.sent,
            "tombstones": self._orders.tombstones,
            "faults": sum(simulation.faults for simulation in self._simulations),
            "machines": len(self._simulations),
            "finished": finished,
        }

    def _deliver(self, elapsed_s: float) -> None:
        for topic, payload in self._network.due(elapsed_s):
            self._telemetry.publish(topic, payload)


def run(options: PlantOptions, stop: threading.Event) -> None:
    """Run the plant until `stop` is set."""
    machines = read_machines(options.machines)
    telemetry, orders = Telemetry(options.mqtt_port), Orders(options.kafka_servers)
    plant = Plant(options, machines, telemetry=telemetry, orders=orders)
    started, reported = time.monotonic(), 0.0
    while not stop.wait(_TICK_SECONDS):
        elapsed = time.monotonic() - started
        try:
            plant.tick(elapsed, now_s=time.time())
        except KafkaError as error:
            print(f"An order event waits for the broker: {error}.", file=sys.stderr)
        if elapsed - reported >= 1.0:
            reported = elapsed
            write_json(options.report, plant.report(finished=False))
    plant.finish()
    write_json(options.report, plant.report(finished=True))


def _random(seed: float) -> Random:
    return Random(seed)  # noqa: S311  # a simulation, not a secret


def create_orders_topic(servers: str) -> None:
    """Create the topic of orders unless it is there."""
    admin = KafkaAdminClient(bootstrap_servers=servers, client_id="simulated-plant")
    try:
        admin.create_topics([NewTopic(ORDERS_TOPIC, ORDERS_PARTITIONS, 1)])
    except TopicAlreadyExistsError:
        return
    finally:
        admin.close()


def topic_of(reading: Reading) -> str:
    """The MQTT topic of a reading."""
    return f"plant/{reading.line_id}/{reading.machine_id}/telemetry"


def encoded(message: Reading | OrderEvent) -> bytes:
    """A message's content as JSON."""
    return orjson.dumps(dataclasses.asdict(message))


def main() -> None:
    """Read the command line and run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Simulated plant for the demo, on loopback only.")
    parser.add_argument("--machines", type=Path, required=True, help="dbt's seed of machines")
    parser.add_argument("--mqtt-port", type=int, required=True)
    parser.add_argument("--kafka", required=True, help="bootstrap servers")
    parser.add_argument("--report", type=Path, required=True, help="file for the counts")
    parser.add_argument("--rate", type=float, default=1.0, help="readings a second of each machine")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(
        PlantOptions(args.machines, args.mqtt_port, args.kafka, args.report, args.rate, args.seed),
        stop,
    )


if __name__ == "__main__":
    main()
