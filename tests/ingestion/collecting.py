"""A collector of MQTT beside a Mosquitto: starting both, sending, and what the spools hold."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingestion.collect.collector import Collector
from ingestion.collect.status import status_file
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.connectors.mqtt.retry import Retry
from ingestion.declare.stream import Stream
from ingestion.log.port import Window
from ingestion.settings import Settings, load_settings
from ingestion.spool.log import SpoolLog
from tests.conftest import there
from tests.servers.mosquitto import Mosquitto

PROJECT = Path(__file__).resolve().parents[2]
QUICK = Retry(first_seconds=0.05, most_seconds=0.2, stable_seconds=1)
STREAMS = """
telemetry: {source: {mqtt: plant/+/telemetry}}
everything: {source: {mqtt: "plant/#"}}
"""


def stream(name: str, topic_filter: str, *, qos: int = 1) -> Stream:
    return Stream.model_validate({"name": name, "source": {"mqtt": topic_filter, "qos": qos}})


def broker(folder: Path, **options: Any) -> Mosquitto:
    server = there(lambda: Mosquitto(folder, max_queued_messages=0, **options))
    server.start()
    return server


def settings_for(server: Mosquitto, data_dir: Path, **overrides: Any) -> Settings:
    return load_settings(data_dir=data_dir, mqtt_host=server.host, mqtt_port=server.port, **overrides)


def wait_until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def running(collector: Collector, *, subscribed: bool = True) -> Iterator[Collector]:
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        if subscribed:
            wait_until(lambda: collector.listener.status().ready)
        yield collector
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def publish(
    server: Mosquitto, messages: Iterable[tuple[str, bytes]], *, qos: int = 1, **options: Any
) -> None:
    """Returns once the broker has acknowledged all of them."""
    version5 = "properties" in options
    client = Client(
        CallbackAPIVersion.VERSION2,
        protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
    )
    client.max_inflight_messages_set(100)
    client.connect(server.host, server.port)
    client.loop_start()
    for sent in [client.publish(topic, value, qos=qos, **options) for topic, value in messages]:
        sent.wait_for_publish(20)
        assert sent.is_published()
    client.disconnect()
    client.loop_stop()


def spooled(data_dir: Path, name: str) -> list[dict[str, Any]]:
    log = SpoolLog(name, data_dir / "spool")
    windows = {partition: Window(b.begin, b.end) for partition, b in log.bounds().items()}
    rows = [row for chunk in log.read(windows) for row in chunk.events.to_pylist()]
    log.close()
    for row in rows:
        row["headers"] = orjson.loads(row["headers"])
    return rows


def start_process(
    server: Mosquitto,
    data_dir: Path,
    *,
    program: Sequence[str] = ("-m", "ingestion.collect", "mqtt"),
    **environment: str,
) -> "subprocess.Popen[bytes]":
    data_dir.mkdir(exist_ok=True)
    (data_dir / "streams.yml").write_text(STREAMS)
    return subprocess.Popen(
        [sys.executable, *program],
        cwd=PROJECT,
        stdout=(data_dir / "out").open("ab"),
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "MILLRACE_DATA_DIR": str(data_dir),
            "MILLRACE_STREAMS_FILE": str(data_dir / "streams.yml"),
            "MILLRACE_MQTT_HOST": server.host,
            "MILLRACE_MQTT_PORT": str(server.port),
            **environment,
        },
    )


def status_of(data_dir: Path) -> dict[str, Any]:
    path = status_file(data_dir, MQTT)
    return dict(orjson.loads(path.read_bytes())) if path.exists() else {}


def wait_for_subscriptions(data_dir: Path) -> None:
    path = data_dir / "collector" / "session.json"

    def granted() -> int:
        sessions = orjson.loads(path.read_bytes())["sessions"] if path.exists() else {}
        return sum(len(each["subscriptions"]) for each in sessions.values())

    wait_until(lambda: granted() == 2)
