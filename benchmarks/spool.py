"""The spool: messages a second from Mosquitto at QoS 1 onto the disk, and how long an acknowledgement takes.

`python -m benchmarks.spool --messages 200000`: publishers in processes of their own keep the broker ahead of
a collector that runs as the system runs it. Its own status tells each second's slowest acknowledgement.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.report import Row, at_least, at_most, emit
from benchmarks.system import environment
from ingestion.collect.status import status_file
from ingestion.connectors.mqtt.connector import MQTT
from tests.repository import REPOSITORY
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

_PAYLOAD_BYTES = 200
_AHEAD = 500
"""Messages a publisher has unacknowledged."""


def publish(port: int, number: int, messages: int) -> None:
    """Send messages of 200 B at QoS 1, as fast as the broker acknowledges them."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"publisher-{number}")
    client.max_inflight_messages_set(_AHEAD)
    acknowledged = 0

    def count(*_: Any) -> None:
        nonlocal acknowledged
        acknowledged += 1

    client.on_publish = count
    client.connect("127.0.0.1", port)
    client.loop_start()
    for sent in range(messages):
        payload = json.dumps({"n": sent}).encode()
        client.publish(f"plant/line/{number}/telemetry", payload.ljust(_PAYLOAD_BYTES), qos=1)
        while sent - acknowledged > _AHEAD:
            time.sleep(0.001)
    while acknowledged < messages:
        time.sleep(0.005)
    client.disconnect()
    client.loop_stop()


def measure(folder: Path, *, messages: int, publishers: int) -> list[Row]:
    """Publish, and read the collector's status until it has everything on disk."""
    mosquitto = Mosquitto(
        folder / "mosquitto", max_queued_messages=10 * messages, max_inflight_messages=2_000
    )
    mosquitto.start()
    data_dir = folder / "data"
    data_dir.mkdir()
    values = {"mqtt_host": mosquitto.host, "mqtt_port": str(mosquitto.port)}
    collector = subprocess.Popen(
        [sys.executable, "-m", "ingestion.collect", "mqtt"],
        cwd=REPOSITORY,
        env=environment(data_dir, values),
    )
    seconds: list[dict[str, Any]] = []

    def status() -> dict[str, Any]:
        with suppress(OSError, ValueError):
            told: dict[str, Any] = json.loads(status_file(data_dir, MQTT).read_text())
            return told
        return {}

    def stored() -> int:
        return int(sum(status().get("positions", {}).values()))

    try:
        eventually(lambda: status().get("subscribed"), "the collector listens")
        processes = [
            multiprocessing.Process(target=publish, args=(mosquitto.port, number, messages // publishers))
            for number in range(publishers)
        ]
        started = time.monotonic()
        for process in processes:
            process.start()
        wanted = messages // publishers * publishers
        while stored() < wanted and time.monotonic() - started < 600:
            now = status()
            if now and (not seconds or now["updated_at"] != seconds[-1]["updated_at"]):
                seconds.append(now)
            time.sleep(0.02)
        took = time.monotonic() - started
        for process in processes:
            process.join(60)
        assert stored() == wanted, f"{stored()} of {wanted} messages are in the spool"
    finally:
        collector.terminate()
        collector.wait(60)
        mosquitto.stop()
    slowest = [
        second["slowest_acknowledgement_ms"] for second in seconds if second["messages_per_second"] > 0
    ]
    inner = [second["messages_per_second"] for second in seconds[1:-1]] or [wanted / took]
    return [
        at_least(
            "spool", f"QoS 1 into the spool, {publishers} publishers, {_PAYLOAD_BYTES} B", wanted / took,
            10_000, unit="messages/s",
            note=f"fsync before each acknowledgement; best second {max(inner):,.0f}",
        ),
        at_most(
            "spool", "slowest acknowledgement of a second, median", statistics.median(slowest), 100,
            unit="ms", note=f"of the worst second {max(slowest):.0f} ms; stricter than a p99",
        ),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--publishers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(measure(Path(folder), messages=options.messages, publishers=options.publishers))


if __name__ == "__main__":
    main()
