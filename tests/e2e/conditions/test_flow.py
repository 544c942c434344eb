"""What streams and marts lack while nothing crashes: room, schemas, time. Five kinds, made and mended."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from kafka import KafkaProducer

from tests.e2e.conditions.storage import close_database, open_database
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.formats.registering import avro, record
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.browser import Browser
from tests.servers.mosquitto import Mosquitto
from tests.servers.schema_registry import SchemaRegistry
from tests.servers.small_disk import Disk
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.slow("a whole system is broken in five ways and mended; a mart has to be late for a minute"),
]
STREAMS = """
orders{n}: {{source: {{kafka: orders{n}, start: earliest}}, fields: {{id: varchar}}}}
readings{n}: {{source: {{mqtt: "home/+"}}, fields: {{id: varchar}}}}
parcels{n}: {{source: {{kafka: parcels{n}, start: earliest}}, format: {{avro: {{schema: latest}}}}}}
bills{n}:
  source: {{kafka: bills{n}, start: earliest}}
  format: {{avro: {{schema: prefix}}}}
  fields: {{id: bigint, cents: {cents}}}
"""
COUNTS = (
    "{{{{ config(materialized='table') }}}} select count(*) as orders from {{{{ ref('stg_orders{n}') }}}}"
)
PROMISED = "models: [{{name: counts, config: {{meta: {{freshness_seconds: {seconds}}}}}}}]\n"
KEPT_SECONDS, BROKEN_SECONDS = 600, 0.5
"""What every machine keeps, and none: a cycle alone takes longer."""
EVERY_SECONDS = 0.5
ONE, OTHER = (record(("id", "long"), ("cents", kind)) for kind in ("int", "string"))
LARGE = json.dumps({"id": "x" * 2**17}).encode()
"""More than what a full disk has left in a file's last page."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SchemaRegistry]:
    """One that runs."""
    server = SchemaRegistry(tmp_path / "registry").start()
    yield server
    server.stop()


@pytest.fixture
def spool() -> Iterator[list[Disk]]:
    """For the spool's small disk, which is unmounted after the system has ended."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    mounted = list[Disk]()
    yield mounted
    for each in mounted:
        each.unmount()


@pytest.fixture
def system(
    tmp_path: Path,
    apache_kafka: ApacheKafka,
    mosquitto: Mosquitto,
    registry: SchemaRegistry,
    spool: list[Disk],
) -> Iterator[System]:
    number = 5_000 + next(numbers())
    with Webhook() as hook:
        system = System(
            tmp_path / "p", kafka=apache_kafka.bootstrap_servers, mosquitto=mosquitto, hook=hook,
            number=number, SCHEMA_REGISTRY_URL=registry.url,
        )  # fmt: skip
        for name in ("orders", "parcels", "bills"):
            apache_kafka.create_topic(f"{name}{number}")
        system.write("streams.yml", STREAMS, cents="bigint")
        system.stage("orders")
        system.write("dbt_project/models/marts/counts.sql", COUNTS)
        system.write("dbt_project/models/marts/counts.yml", PROMISED, seconds=BROKEN_SECONDS)
        system.data_dir.mkdir(mode=0o700, exist_ok=True)
        try:
            spool.append(Disk(system.data_dir / "spool" / f"readings{number}", mib=1))
        except subprocess.CalledProcessError:
            pytest.skip("this container does not let root mount a disk")
        try:
            yield system
        finally:
            system.stop()


@contextmanager
def orders_come(kafka: ApacheKafka, topic: str) -> Iterator[None]:
    """One after the other, while the block runs."""
    over = threading.Event()
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)

    def send() -> None:
        while not over.wait(EVERY_SECONDS):
            producer.send(topic, b'{"id": "a"}')
            producer.flush()

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        over.set()
        sending.join()
        producer.close()


def publish(server: Mosquitto, payload: bytes) -> None:
    """One message that waits for its acknowledgement."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="sender")
    client.connect(server.host, server.port)
    client.loop_start()
    client.publish("home/one", payload, qos=1).wait_for_publish(timeout=60)
    client.disconnect()
    client.loop_stop()


def rows(system: System, table: str) -> int | None:
    """How many rows a table has; None where it is not there."""
    done = system.run("query", f"select count(*) as n from {table.format(n=system.number)}", "--json")
    return int(json.loads(done.stdout)[0]["n"]) if done.returncode == 0 else None


def test_what_streams_and_marts_lack_is_said_everywhere_and_ends(
    system: System,
    browser: Browser,
    apache_kafka: ApacheKafka,
    mosquitto: Mosquitto,
    registry: SchemaRegistry,
    spool: list[Disk],
) -> None:
    n, (disk,) = system.number, spool
    avro(registry, ONE, topic=f"parcels{n}")({"id": 1, "cents": 1})
    bill = avro(registry, ONE, topic=f"bills{n}")({"id": 1, "cents": 1})
    changed = avro(registry, OTHER, topic=f"bills{n}")({"id": 2, "cents": "1 EUR"})
    registry.kill()
    system.start()
    with orders_come(apache_kafka, f"orders{n}"):
        disk.fill()
        publish(mosquitto, LARGE)
        eventually(lambda: rows(system, "marts.counts") == 1, "it is built", seconds=PATIENCE_SECONDS)
        close_database(system, "serving")
        first = {"stream_waiting", "spool_blocked", "serving_behind", "budget_broken"}
        sentences = system.require_shown(first, browser)
        assert f"stream 'parcels{n}': its fields are those of a schema" in sentences["stream_waiting"]
        assert "No space left on device" in sentences["spool_blocked"]
        assert sentences["serving_behind"].startswith("marts in PostgreSQL stay as they are")
        assert sentences["budget_broken"].startswith("marts/counts breaks its freshness budget of 0.5 s")

        registry.start()
        (disk.folder / "ballast").unlink()
        open_database(system, "serving")
        system.write("dbt_project/models/marts/counts.yml", PROMISED, seconds=KEPT_SECONDS)
        system.require_over(first)

    produce(apache_kafka.bootstrap_servers, f"bills{n}", [bill])
    eventually(lambda: rows(system, "raw.bills{n}") == 1, "it landed", seconds=PATIENCE_SECONDS)
    produce(apache_kafka.bootstrap_servers, f"bills{n}", [changed])
    sentences = system.require_shown({"schema_changed"}, browser)
    assert "'cents' is varchar and no longer integer" in sentences["schema_changed"]
    system.write("streams.yml", STREAMS, cents="varchar")
    system.require_over({"schema_changed"})
    system.require_each_end_once()
    assert rows(system, "raw.readings{n}") == 1, "what waited for room is in"
