"""How the simulated plant sends: telemetry over MQTT, production orders over Kafka. HTTP is scanners.py's."""

import dataclasses
import time
from typing import Any

import orjson
import paho.mqtt.client as mqtt
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError
from paho.mqtt.enums import CallbackAPIVersion

from orchestration.demo.guests.traffic import MeterReading, Scan
from orchestration.demo.inspections import Inspection
from orchestration.demo.machines import Reading
from orchestration.demo.orders import OrderEvent, OrderMessage

ORDERS_TOPIC = "production_orders"
ORDERS_PARTITIONS = 2
_SEND_SECONDS = 15.0


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


def encoded(message: Reading | OrderEvent | Inspection | MeterReading | Scan) -> bytes:
    """A message's content as JSON."""
    return orjson.dumps(dataclasses.asdict(message))
