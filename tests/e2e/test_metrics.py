"""A real Prometheus watches a running system: every documented series, and alerts on what does not work."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import there
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.ports import free_ports
from tests.servers.prometheus import Prometheus
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("a whole system under a real Prometheus, one of its databases halted"),
]
DEPLOY = REPOSITORY / "orchestration" / "deploy"
STREAMS = """
watched{n}:
  source: {{kafka: watched{n}, start: earliest}}
  fields: {{device: varchar, n: bigint}}
"""
MART = "select device, count(*) as events from {{{{ ref('stg_watched{n}') }}}} group by device"
BUDGET = """
models:
  - name: by_device
    config: {{materialized: table, schema: marts, meta: {{freshness_seconds: 0.01}}}}
"""


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[System]:
    number = 3_000 + next(numbers())
    (port,) = free_ports(1)
    with Webhook() as hook:
        system = System(
            tmp_path / "p",
            kafka=apache_kafka.bootstrap_servers,
            mosquitto=mosquitto,
            hook=hook,
            number=number,
            METRICS_PORT=port,
            RESTART_STUCK="false",  # else a halted PostgreSQL is replaced before a scrape has seen it
        )
        apache_kafka.create_topic(f"watched{number}")
        system.write("streams.yml", STREAMS)
        system.stage("watched")
        system.write("dbt_project/models/marts/by_device.sql", MART)
        system.write("dbt_project/models/marts/by_device.yml", BUDGET)
        system.start()
        try:
            yield system
        finally:
            system.stop()


@pytest.fixture
def prometheus(tmp_path: Path, system: System) -> Iterator[Prometheus]:
    rules = tmp_path / "rules.yml"
    at_once = re.sub(r"for: \dm", "for: 1s", (DEPLOY / "prometheus-rules.yml").read_text())
    rules.write_text(at_once)
    port = int(str(system.variable("METRICS_PORT")))
    with there(lambda: Prometheus(tmp_path / "prometheus", target=port, rules=rules)) as prometheus:
        yield prometheus


def test_prometheus_sees_every_series_and_names_what_is_away(
    system: System, prometheus: Prometheus, apache_kafka: ApacheKafka
) -> None:
    stream = f"watched{system.number}"
    events = [json.dumps({"device": "d-17", "n": number}).encode() for number in range(5)]
    produce(apache_kafka.bootstrap_servers, stream, [*events, b"{"])
    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(millrace_\w+)`", page, re.MULTILINE))

    def missing() -> set[str]:
        found = prometheus.query('group by (__name__) ({__name__=~"millrace_.+"})')
        return documented - {each["metric"]["__name__"].removesuffix("_bucket") for each in found}

    with suppress(AssertionError):
        eventually(lambda: missing() == set(), "every series is there", seconds=PATIENCE_SECONDS)
    assert missing() == set(), prometheus.last_error()
    landed = f'millrace_stream_landed_events_total{{stream="{stream}"}} == 5'
    eventually(lambda: bool(prometheus.query(landed)), "five landed", seconds=PATIENCE_SECONDS)
    hops = {"waiting", "reading", "loading", "building", "publishing"}
    asked = 'group by (hop) (millrace_mart_hop_seconds{mart="marts/by_device"})'
    eventually(
        lambda: {each["metric"]["hop"] for each in prometheus.query(asked)} == hops,
        "every hop of the mart, to PostgreSQL", seconds=PATIENCE_SECONDS,
    )  # fmt: skip
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            prometheus.query(target["expr"])  # one that is wrong is an error
    eventually(
        lambda: "MillraceMartStale" in prometheus.firing(), "the mart is stale", seconds=PATIENCE_SECONDS
    )

    postgres = psutil.Process(system.pid("postgres"))
    halted = [postgres, *postgres.children(recursive=True)]
    for process in halted:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        silent = 'millrace_part_answers{part="lake"} == 0'
        eventually(lambda: bool(prometheus.query(silent)), "the lake is silent", seconds=PATIENCE_SECONDS)
        assert "MillraceExporterDown" not in prometheus.firing()
        eventually(
            lambda: "MillracePartSilent" in prometheus.firing(), "it is said", seconds=PATIENCE_SECONDS
        )
    finally:
        for process in halted:
            if process.is_running():
                os.kill(process.pid, signal.SIGCONT)
    eventually(
        lambda: "MillracePartSilent" not in prometheus.firing(), "it answers again", seconds=PATIENCE_SECONDS
    )
    exporter = system.pid("metrics")
    assert exporter is not None
    os.kill(exporter, signal.SIGKILL)
    eventually(lambda: system.pid("metrics") not in (None, exporter), "it is back", seconds=PATIENCE_SECONDS)
    restarted = 'millrace_service_restarts_total{service="metrics"} == 1'
    eventually(lambda: bool(prometheus.query(restarted)), "that is counted", seconds=PATIENCE_SECONDS)
