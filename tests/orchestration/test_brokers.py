"""The embedded brokers, the test servers, and the collector that comes and goes with MQTT streams."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from ingestion.collect.status import status_file
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.declare.file import load_streams
from ingestion.settings import load_settings
from orchestration.services.kafka import EmbeddedKafka
from orchestration.services.mqtt import EmbeddedMqtt
from orchestration.services.process import ServiceError, wait_until
from orchestration.system.running import System
from tests.conftest import PASSWORD, USER
from tests.servers import ServerMissing
from tests.servers.apache_kafka import ApacheKafka, KafkaServer
from tests.servers.mosquitto import Mosquitto
from tests.servers.ports import free_ports


def round_trip(bootstrap_servers: str, topic: str, **security: str) -> list[bytes]:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, **security)
    for number in range(10):
        producer.send(topic, str(number).encode(), partition=0)
    producer.flush()
    producer.close()
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **security,
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    values: list[bytes] = []

    def complete() -> bool:
        values.extend(record.value for records in consumer.poll(200).values() for record in records)
        return len(values) >= consumer.end_offsets([partition])[partition]

    assert wait_until(complete, timeout_s=60)
    consumer.close()
    return values


TEN = [str(number).encode() for number in range(10)]


def test_embedded_kafka_carries_messages_and_restarts_on_its_port(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path, port=free_ports(1)[0])
    broker.start()
    try:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        admin.create_topics([NewTopic("orders", num_partitions=1, replication_factor=1)])
        admin.close()
        assert round_trip(broker.bootstrap_servers, "orders") == TEN
        port = broker.port
        broker.stop()
        broker.start()
        assert broker.port == port
    finally:
        broker.stop()


@pytest.mark.parametrize("service", [EmbeddedKafka, EmbeddedMqtt])
def test_a_taken_port_is_named(tmp_path: Path, service: type[EmbeddedKafka] | type[EmbeddedMqtt]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=f"127.0.0.1:{port} .* configure another one"):
            service(tmp_path, port=port).start()


class Client:
    """A paho client of MQTT 3.1.1 that collects what it receives."""

    def __init__(
        self, port: int, name: str, *, clean: bool = True, user: str = "", password: str = ""
    ) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, protocol=paho.MQTTv311
        )
        if user:
            self.paho.username_pw_set(user, password)
        self.paho.on_message = lambda client, data, message: self.messages.append(
            (message.topic, message.payload)
        )
        self.paho.on_subscribe = lambda *_: self._subscribed.set()
        answers: list[str] = []
        self.paho.on_connect = lambda client, data, flags, reason, properties: answers.append(str(reason))
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        assert wait_until(lambda: bool(answers), timeout_s=60)
        if answers[0] != "Success":
            self.paho.loop_stop()
            raise ConnectionRefusedError(answers[0])

    def subscribe(self, pattern: str) -> None:
        self.paho.subscribe(pattern, qos=1)
        assert self._subscribed.wait(60)

    def publish(self, topic: str, payload: bytes) -> None:
        self.paho.publish(topic, payload, qos=1).wait_for_publish(60)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


def check_mqtt(port: int, between: Callable[[], None] = lambda: None, **login: str) -> None:
    """QoS 1, a wildcard, and a persistent session that gets what came while its client was away."""
    expected = [("plant/a/temp", b"1"), ("plant/b/temp", b"2")]
    publisher = Client(port, "publisher", **login)
    client = Client(port, "reader", clean=False, **login)
    client.subscribe("plant/+/temp")
    publisher.publish("plant/a/temp", b"1")
    publisher.publish("plant/a/humidity", b"0")
    publisher.publish("plant/b/temp", b"2")
    assert wait_until(lambda: client.messages == expected, timeout_s=60), client.messages
    client.close()
    time.sleep(2)  # nothing tells that the broker has seen it go; until then it may send into the void
    publisher.publish("plant/c/temp", b"3")
    publisher.close()
    between()
    again = Client(port, "reader", clean=False, **login)
    assert wait_until(lambda: again.messages == [("plant/c/temp", b"3")], timeout_s=60), again.messages
    again.close()


def test_embedded_mqtt_keeps_a_persistent_session(tmp_path: Path) -> None:
    broker = EmbeddedMqtt(tmp_path, port=free_ports(1)[0])
    broker.start()
    try:
        check_mqtt(broker.port)
        assert (tmp_path / "log" / "mqtt.log").read_text() == ""
        assert broker.pid is not None
        connections = psutil.Process(broker.pid).net_connections("inet")
        assert {connection.laddr.ip for connection in connections if connection.status == "LISTEN"} == {
            "127.0.0.1"
        }
    finally:
        broker.stop()


@pytest.mark.mosquitto
def test_mosquitto_keeps_queued_messages_over_a_crash(tmp_path: Path) -> None:
    try:
        broker = Mosquitto(tmp_path, persistence=True, users={"plant": "s3cret"})
    except ServerMissing as reason:
        pytest.skip(str(reason))
    broker.start()

    def crash() -> None:
        broker.save()
        broker.kill()
        broker.start()

    try:
        with pytest.raises(ConnectionRefusedError, match="Not authorized"):
            Client(broker.port, "stranger")
        check_mqtt(broker.port, crash, user="plant", password="s3cret")
    finally:
        broker.stop()


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_apache_kafka_authenticates(apache_kafka: ApacheKafka, mechanism: str) -> None:
    topic = f"login-{mechanism.lower()}"
    apache_kafka.create_topic(topic)
    security = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    assert round_trip(apache_kafka.sasl_bootstrap_servers, topic, **security) == TEN


@pytest.mark.kafka
@pytest.mark.xdist_group("breakable_kafka")
def test_apache_kafka_keeps_messages_over_a_crash(breakable_kafka: KafkaServer) -> None:
    breakable_kafka.create_topic("orders", partitions=2, config={"cleanup.policy": "delete"})
    assert round_trip(breakable_kafka.bootstrap_servers, "orders") == TEN
    breakable_kafka.kill()
    breakable_kafka.start()
    assert round_trip(breakable_kafka.bootstrap_servers, "orders") == TEN * 2
    breakable_kafka.delete_topic("orders")
    breakable_kafka.create_topic("orders")
    assert round_trip(breakable_kafka.bootstrap_servers, "orders") == TEN


def test_the_collector_comes_with_the_first_mqtt_stream_and_goes_with_the_last(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "streams.yml"
    kafka, mqtt = "orders: {source: {kafka: orders}}\n", "readings: {source: {mqtt: plant/#}}\n"
    file.write_text(kafka)
    for name, value in {"streams_file": file, "data_dir": tmp_path, "mqtt_host": mosquitto.host}.items():
        monkeypatch.setenv(f"MILLRACE_{name.upper()}", str(value))
    monkeypatch.setenv("MILLRACE_MQTT_PORT", str(mosquitto.port))
    monkeypatch.setenv("MILLRACE_CATALOG", "postgresql://nobody@127.0.0.1:1/not_needed_to_collect")
    system = System(load_settings(), mode="up", ui=False, progress=print)

    def collectors_after(content: str) -> list[bool]:
        file.write_text(content)
        system.streams = load_streams(file)
        system.renew_collectors()
        return [row.running for row in system.check(0.0) if row.name == "collector"]

    try:
        assert collectors_after(kafka) == []
        assert collectors_after(kafka + mqtt) == [True]
        assert wait_until(lambda: "readings" in _status(tmp_path).get("positions", {}), timeout_s=60)
        assert collectors_after(kafka) == []
        assert not psutil.pid_exists(_status(tmp_path)["pid"])
    finally:
        system.stop()


def _status(data_dir: Path) -> dict[str, Any]:
    with suppress(OSError):
        return json.loads(status_file(data_dir, MQTT).read_text())
    return {}
