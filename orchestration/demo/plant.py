"""The simulated plant as a process: readings over MQTT, orders over Kafka, inspections over HTTP.

It ends with SIGTERM. Run by itself: `python -m orchestration.demo.plant --help`. What happens is in
machines.py, orders.py and inspections.py, what goes wrong on the way in imperfections.py, sending in
senders.py and scanners.py.
"""

import argparse
import dataclasses
import math
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from kafka.errors import KafkaError

from ingestion.json_file import write_json
from orchestration.demo.guests import GUESTS
from orchestration.demo.guests.outbox import Outbox
from orchestration.demo.guests.traffic import Carriers, MeterReading, Meters, Scan
from orchestration.demo.imperfections import Network
from orchestration.demo.inspections import Inspectors
from orchestration.demo.machines import Machine, Simulation, read_machines
from orchestration.demo.orders import OrderBook, OrderMessage
from orchestration.demo.scanners import LOST_SHARE, Scanners
from orchestration.demo.senders import Orders, Telemetry, encoded, topic_of
from orchestration.demo.streams import INSPECTIONS, METERS, ORDERS, SHIPMENTS, TELEMETRY

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
        http_port: Of the collector, on 127.0.0.1.
        token_file: Holds the token that scanners show.
        guests: As kind:port, on 127.0.0.1, each.
        report: File that the counts are written to every second.
        rate: Readings a second of each machine.
        seed: Of all randomness.
    """

    machines: Path
    mqtt_port: int
    kafka_servers: str
    http_port: int
    token_file: Path
    guests: list[str]
    report: Path
    rate: float
    seed: int


class Plant:
    """All machines and orders, advanced by `tick`.

    Args:
        options: What it is started with.
        machines: Its machines.
        telemetry: Takes readings.
        orders: Takes order events.
        scanners: Take inspections.
        outboxes: Take what is sent to guests: stream's name → its outbox.
    """

    def __init__(
        self,
        options: PlantOptions,
        machines: tuple[Machine, ...],
        *,
        telemetry: Telemetry,
        orders: Orders,
        scanners: Scanners,
        outboxes: Mapping[str, Outbox],
    ) -> None:
        self._options = options
        self._telemetry = telemetry
        self._orders = orders
        self._scanners = scanners
        self._outboxes = outboxes
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
        run_id = uuid.uuid4().hex[:6]
        self._book = OrderBook(
            machines,
            _random(random.random()),
            orders_per_second=ORDERS_PER_READING_RATE * options.rate,
            run_id=run_id,
        )
        self._meters = Meters(machines, _random(random.random()), run_id=run_id)
        self._carriers = Carriers(_random(random.random()))
        self._planned: list[OrderMessage] = []
        self._inspectors = Inspectors(_random(random.random()))
        self._inspections = 0

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
        self._inspect(elapsed_s, now_s=now_s)
        self._send_guests(elapsed_s, now_s=now_s)
        while self._planned:
            self._orders.send(self._planned[0])
            sent = self._planned.pop(0).event
            if sent is not None:
                self._inspectors.notice(sent, elapsed_s=elapsed_s)
                self._carriers.notice(sent, elapsed_s=elapsed_s)

    def finish(self) -> None:
        """Deliver what was held back, and wait until the brokers have everything."""
        self._deliver(math.inf)
        self._telemetry.finish(timeout_s=_SEND_SECONDS)
        self._orders.finish()
        self._scanners.finish(timeout_s=_SEND_SECONDS)
        for outbox in self._outboxes.values():
            outbox.finish(timeout_s=_SEND_SECONDS)

    def report(self, *, finished: bool) -> dict[str, object]:
        """What was sent so far: of each stream the accepted messages, and the events that marts will hold."""
        counts = self._network.counts
        return {
            **dataclasses.asdict(counts),
            "sent": {
                TELEMETRY.name: self._telemetry.acknowledged,
                ORDERS.name: self._orders.sent,
                INSPECTIONS.name: self._scanners.receipts,
                **{name: outbox.accepted for name, outbox in self._outboxes.items()},
            },
            "expected": {
                TELEMETRY.name: counts.readings,
                ORDERS.name: self._orders.sent - self._orders.tombstones,
                INSPECTIONS.name: self._inspections,
                **{name: outbox.posted for name, outbox in self._outboxes.items()},
            },
            "repeated_requests": self._scanners.repeated,
            "faults": sum(simulation.faults for simulation in self._simulations),
            "machines": len(self._simulations),
            "finished": finished,
        }

    def _inspect(self, elapsed_s: float, *, now_s: float) -> None:
        for inspection in self._inspectors.due(elapsed_s, now_s=now_s):
            self._scanners.post(encoded(inspection), key=inspection.inspection_id)
            self._inspections += 1

    def _send_guests(self, elapsed_s: float, *, now_s: float) -> None:
        events: dict[str, Iterator[MeterReading | Scan]] = {
            METERS.name: self._meters.due(elapsed_s, now_s=now_s),
            SHIPMENTS.name: self._carriers.due(elapsed_s, now_s=now_s),
        }
        for name, outbox in self._outboxes.items():
            for event in events[name]:
                outbox.post(encoded(event))

    def _deliver(self, elapsed_s: float) -> None:
        for topic, payload in self._network.due(elapsed_s):
            self._telemetry.publish(topic, payload)


def run(options: PlantOptions, stop: threading.Event) -> None:
    """Run the plant until `stop` is set."""
    machines = read_machines(options.machines)
    plant = Plant(
        options,
        machines,
        telemetry=Telemetry(options.mqtt_port),
        orders=Orders(options.kafka_servers),
        scanners=Scanners(
            options.http_port,
            options.token_file.read_text(),
            random=_random(options.seed),
            lost_share=LOST_SHARE,
        ),
        outboxes=dict(map(_outbox, options.guests)),
    )
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


def _outbox(guest: str) -> tuple[str, Outbox]:
    kind, _, port = guest.partition(":")
    (found,) = (each for each in GUESTS if each.kind == kind)
    return found.stream.name, Outbox(found, int(port))


def _random(seed: float) -> Random:
    return Random(seed)  # noqa: S311  # a simulation, not a secret


def main() -> None:
    """Read the command line and run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Simulated plant for the demo, on loopback only.")
    parser.add_argument("--machines", type=Path, required=True, help="dbt's seed of machines")
    parser.add_argument("--mqtt-port", type=int, required=True)
    parser.add_argument("--kafka-servers", required=True, help="bootstrap servers")
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--token-file", type=Path, required=True, help="holds the scanners' token")
    parser.add_argument("--guest", action="append", default=[], dest="guests", metavar="KIND:PORT")
    parser.add_argument("--report", type=Path, required=True, help="file for the counts")
    parser.add_argument("--rate", type=float, default=1.0, help="readings a second of each machine")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(PlantOptions(**vars(args)), stop)


if __name__ == "__main__":
    main()
