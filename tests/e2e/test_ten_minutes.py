"""Ten minutes of load under a real Prometheus: every documented series all the time, and who was killed.

`make fault` runs it. MILLRACE_METRICS_SECONDS sets another length than 600.
"""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.publish
import pytest
from kafka import KafkaProducer

from ingestion.connectors.registry import connector
from tests.conftest import there
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.ports import free_ports
from tests.servers.prometheus import Prometheus
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
SECONDS = float(os.environ.get("MILLRACE_METRICS_SECONDS", "600"))
EVENTS_A_SECOND = 40
STREAMS = """
orders{n}: {{source: {{kafka: orders{n}, start: earliest}}, fields: {{device: varchar, n: bigint}}}}
readings{n}: {{source: {{mqtt: "hall{n}/+"}}, fields: {{device: varchar, n: bigint}}}}
"""
MART = "select device, count(*) as events from {{{{ ref('stg_orders{n}') }}}} group by device"
BUDGET = """
models:
  - name: by_device
    config: {{materialized: table, schema: marts, meta: {{freshness_seconds: 0.01}}}}
"""
COLLECTOR = str(connector("mqtt").collector)


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[System]:
    number = 5_000 + next(numbers())
    (port,) = free_ports(1)
    with Webhook() as hook:
        system = System(
            tmp_path / "p", kafka=apache_kafka.bootstrap_servers, mosquitto=mosquitto, hook=hook,
            number=number, METRICS_PORT=port,
        )  # fmt: skip
        apache_kafka.create_topic(f"orders{number}")
        system.write("streams.yml", STREAMS)
        system.stage("orders", "readings")
        system.write("dbt_project/models/marts/by_device.sql", MART)
        system.write("dbt_project/models/marts/by_device.yml", BUDGET)
        system.start()
        try:
            yield system
        finally:
            system.stop()


@contextmanager
def load(system: System, kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[None]:
    """Events on both streams until the block ends, one in a hundred of them a reject."""
    stop = threading.Event()

    def send() -> None:
        producer, number = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers), 0
        while not stop.is_set():
            for _ in range(EVENTS_A_SECOND):
                number += 1
                event = json.dumps({"device": f"d-{number % 7}", "n": number}).encode()
                producer.send(f"orders{system.number}", b"{" if number % 100 == 0 else event)
            paho.mqtt.publish.single(
                f"hall{system.number}/a", event, qos=1, hostname=mosquitto.host, port=mosquitto.port
            )
            stop.wait(1.0)
        producer.close()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()


def documented() -> set[str]:
    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(millrace_\w+)`", page, re.MULTILINE))


@pytest.mark.timeout(SECONDS + 1800)
def test_ten_minutes_of_load_show_every_series_and_whoever_is_killed(
    tmp_path: Path, system: System, apache_kafka: ApacheKafka, mosquitto: Mosquitto
) -> None:
    rules = tmp_path / "rules.yml"
    text = (REPOSITORY / "orchestration" / "deploy" / "prometheus-rules.yml").read_text()
    rules.write_text(re.sub(r"for: \dm", "for: 1s", text))
    port = int(str(system.variable("METRICS_PORT")))
    with (
        there(lambda: Prometheus(tmp_path / "prometheus", target=port, rules=rules)) as prometheus,
        load(system, apache_kafka, mosquitto),
    ):

        def missing() -> set[str]:
            # A scrape that a busy machine answers too late takes all series away until the next one.
            found = prometheus.query('group by (__name__) (last_over_time({__name__=~"millrace_.+"}[1m]))')
            return documented() - {each["metric"]["__name__"].removesuffix("_bucket") for each in found}

        eventually(lambda: not missing(), "every series is there", seconds=2 * PATIENCE_SECONDS)
        end, looks, gaps = time.monotonic() + SECONDS, 0, []
        while time.monotonic() < end:
            looks += 1
            if gone := missing():
                gaps.append((looks, sorted(gone)))
            time.sleep(5)
        (scraped,) = prometheus.query(f'sum_over_time(up{{job="millrace"}}[{SECONDS:.0f}s])')
        (scrapes,) = prometheus.query(f'count_over_time(up{{job="millrace"}}[{SECONDS:.0f}s])')
        landed = prometheus.query("last_over_time(millrace_stream_landed_events_total[1m])")
        print(
            f"\n{len(documented())} series in {SECONDS:.0f} s: {looks} looks, {len(gaps)} with a gap; "
            f"{scraped['value'][1]} of {scrapes['value'][1]} scrapes answered; landed "
            + ", ".join(f"{each['metric']['stream']} {each['value'][1]}" for each in landed)
        )
        assert gaps == []
        assert "MillraceMartStale" in prometheus.firing()
        for service in ("daemon", COLLECTOR, "postgres"):
            assert_named(system, prometheus, service)


def assert_named(system: System, prometheus: Prometheus, service: str) -> None:
    """Kill a process, and find its name in what Prometheus has."""

    def restarts() -> float:
        found = prometheus.query(f'millrace_service_restarts_total{{service="{service}"}}')
        return float(found[0]["value"][1]) if found else -1.0

    eventually(lambda: restarts() >= 0, f"{service} is watched", seconds=PATIENCE_SECONDS)
    before, pid, began = restarts(), system.pid(service), time.monotonic()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: restarts() > before, f"{service} is named", seconds=PATIENCE_SECONDS)
    named = time.monotonic() - began
    is_up = f'millrace_service_up{{service="{service}"}} == 1 and on() min(millrace_part_answers) == 1'
    eventually(lambda: bool(prometheus.query(is_up)), f"{service} is back", seconds=2 * PATIENCE_SECONDS)
    print(f"{service}: killed, named after {named:.0f} s, all well after {time.monotonic() - began:.0f} s")
