"""The drill's plant: sends readings, orders and inspections, and remembers each event that was acknowledged.

What is broken meanwhile is drill_steps.py's; what happens in the plant is in machines.py, orders.py and
inspections.py.
"""

import os
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import paho.mqtt.client as mqtt
from kafka import KafkaProducer
from kafka.errors import KafkaError
from paho.mqtt.enums import CallbackAPIVersion

from orchestration.demo.inspections import Inspectors
from orchestration.demo.machines import Simulation, read_machines
from orchestration.demo.orders import OrderBook
from orchestration.demo.scanners import LOST_SHARE, Scanners
from orchestration.demo.senders import ORDERS_TOPIC, create_orders_topic, encoded, topic_of
from orchestration.demo.streams import INSPECTIONS, ORDERS, PLANT, TELEMETRY, PlantStream

SPOILED = b'{"cut": "of'
_SPOILED_KEY, _BYTES = "spoiled-", "application/octet-stream"
_TICK_SECONDS = 0.1
_SEND_SECONDS = 20.0
_ORDERS_PER_SECOND = 2.0
_REMEMBERED = 50


@dataclass
class Sent:
    """What was sent to one stream.

    Attributes:
        offered: Ids of all events that were handed over.
        acknowledged: Ids of those that the broker, or a receipt, has confirmed.
        spoiled: Messages that hold no event.
    """

    offered: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    spoiled: int = 0


class DrillSender:
    """A service of the system's, on a thread of this process.

    Args:
        machines: dbt's seed of machines.
        mqtt_port: On 127.0.0.1.
        kafka_servers: Bootstrap servers.
        http_port: On 127.0.0.1.
        token: What scanners show.
    """

    name = "sender"

    def __init__(
        self, machines: Path, *, mqtt_port: int, kafka_servers: str, http_port: int, token: str
    ) -> None:
        self.sent: dict[PlantStream, Sent] = {stream: Sent() for stream in PLANT}
        self._seed, self._mqtt_port, self._kafka_servers = machines, mqtt_port, kafka_servers
        self._http_port, self._token = http_port, token
        self._waiting: deque[tuple[mqtt.MQTTMessageInfo, str]] = deque()
        self._recent: dict[PlantStream, deque[tuple[str, bytes]]] = {
            stream: deque(maxlen=_REMEMBERED) for stream in self.sent
        }
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """This process's, while it sends."""
        return os.getpid() if self.is_running() else None

    def is_running(self) -> bool:
        """Whether it sends, or pauses."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Connect and begin."""
        create_orders_topic(self._kafka_servers)
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="drill")
        self._mqtt.connect("127.0.0.1", self._mqtt_port, keepalive=30)
        self._mqtt.loop_start()
        self._kafka = KafkaProducer(
            bootstrap_servers=self._kafka_servers, client_id="drill", batch_size=0, linger_ms=0, acks="all",
            compression_type=None,
        )  # fmt: skip
        self._scanners = Scanners(
            self._http_port,
            self._token,
            random=Random(time.time_ns()),  # noqa: S311  # which answers are lost
            lost_share=LOST_SHARE,
            on_receipt=self._received,
        )
        self._random = Random(time.time_ns())  # noqa: S311  # a simulation, not a secret
        self._machines = read_machines(self._seed)
        self._simulations = [Simulation(machine, self._random) for machine in self._machines]
        self._thread = threading.Thread(target=self._run, name="drill-sender", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End and disconnect."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(timeout=_SEND_SECONDS)
        self._mqtt.disconnect()
        self._mqtt.loop_stop()
        self._kafka.close(timeout=1)
        self._scanners.finish(timeout_s=1)
        self._thread = None

    def pause(self) -> None:
        """Send no more, and wait until every message is acknowledged (20 s at most)."""
        self._paused.set()
        with self._guard:  # what is being sent is sent first
            deadline = time.monotonic() + _SEND_SECONDS
            while not (self._settled() and not self._scanners.waiting) and time.monotonic() < deadline:
                time.sleep(0.02)

    def resume(self) -> None:
        """Go on."""
        self._paused.clear()

    def spoil(self, count: int) -> None:
        """Send by each way messages that are not JSON."""
        with self._guard:
            for _ in range(count):
                self._publish("plant/line/machine/telemetry", SPOILED, "")
                self.sent[TELEMETRY].spoiled += 1
                self._produce(b"spoiled", SPOILED)
                self.sent[ORDERS].spoiled += 1
                self.sent[INSPECTIONS].spoiled += 1
                number = self.sent[INSPECTIONS].spoiled
                self._scanners.post(SPOILED, key=f"{_SPOILED_KEY}{number}", content_type=_BYTES)

    def repeat(self, count: int) -> None:
        """Send by each way events that were sent before; over HTTP with the keys that they had."""
        with self._guard:
            for topic, payload in list(self._recent[TELEMETRY])[-count:]:
                self._publish(topic, payload, "")
            for key, payload in list(self._recent[ORDERS])[-count:]:
                self._produce(key.encode(), payload)
            for key, payload in list(self._recent[INSPECTIONS])[-count:]:
                self._scanners.post(payload, key=key)

    def break_machine(self, kind: str) -> Simulation:
        """Let a machine of a kind that works, if there is one, report a fault until it is repaired."""
        with self._guard:
            found = [each for each in self._simulations if each.machine.kind == kind]
            chosen = next((each for each in found if not each.is_faulty), found[0])
            chosen.break_down()
            return chosen

    def _run(self) -> None:
        random, simulations = self._random, self._simulations
        book = OrderBook(
            self._machines, random, orders_per_second=_ORDERS_PER_SECOND,
            run_id=f"{random.getrandbits(24):06x}",
        )  # fmt: skip
        inspectors = Inspectors(random)
        elapsed, next_reading, last = 0.0, 0.0, time.monotonic()
        while not self._stop.wait(_TICK_SECONDS):
            now = time.monotonic()
            elapsed, last = elapsed + (0.0 if self._paused.is_set() else now - last), now
            with self._guard:
                if self._paused.is_set():
                    continue
                if elapsed >= next_reading:
                    next_reading += 1.0
                    for simulation in simulations:
                        reading = simulation.read(elapsed, now_s=time.time())
                        self.sent[TELEMETRY].offered.add(reading.reading_id)
                        self._recent[TELEMETRY].append((topic_of(reading), encoded(reading)))
                        self._publish(*self._recent[TELEMETRY][-1], reading.reading_id)
                for inspection in inspectors.due(elapsed, now_s=time.time()):
                    key = inspection.inspection_id
                    self.sent[INSPECTIONS].offered.add(key)
                    self._recent[INSPECTIONS].append((key, encoded(inspection)))
                    self._scanners.post(self._recent[INSPECTIONS][-1][1], key=key)
                for message in book.due(elapsed, now_s=time.time()):
                    if message.event is not None:
                        event_id = message.event.order_event_id
                        self.sent[ORDERS].offered.add(event_id)
                        self._recent[ORDERS].append((message.order_id, encoded(message.event)))
                        if self._produce(message.order_id.encode(), self._recent[ORDERS][-1][1]):
                            self.sent[ORDERS].acknowledged.add(event_id)
                        inspectors.notice(message.event, elapsed_s=elapsed)

    def _received(self, key: str) -> None:
        if not key.startswith(_SPOILED_KEY):
            self.sent[INSPECTIONS].acknowledged.add(key)

    def _publish(self, topic: str, payload: bytes, reading_id: str) -> None:
        self._waiting.append((self._mqtt.publish(topic, payload, qos=1), reading_id))
        self._settled()

    def _settled(self) -> bool:
        """Whether nothing waits for the MQTT broker any more; notes what it has acknowledged."""
        while self._waiting and self._waiting[0][0].is_published():
            _, reading_id = self._waiting.popleft()
            if reading_id:
                self.sent[TELEMETRY].acknowledged.add(reading_id)
        return not self._waiting

    def _produce(self, key: bytes, payload: bytes) -> bool:
        """Send one record; False when its outcome is unknown."""
        try:
            self._kafka.send(ORDERS_TOPIC, key=key, value=payload).get(timeout=_SEND_SECONDS)
        except KafkaError as error:
            print(f"An order event is not acknowledged: {error}.", file=sys.stderr)
            return False
        return True
