"""A system of which much does not work: each trouble is said by its sentence everywhere, and ends."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.webhook import Webhook
from tests.waiting import eventually

MILLRACE = Path(sys.executable).with_name("millrace")
PATIENCE_SECONDS = 150.0  # of a busy machine; alerts of brokers wait for 30 s
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("a whole system is broken in ten ways and mended; alerts of brokers wait for 30 s"),
]
STREAMS = """
orders{n}: {{source: {{kafka: orders{n}, start: earliest}}, fields: {{id: varchar}}}}
strict{n}: {{source: {{kafka: strict{n}, start: earliest}}, fields: {{id: varchar}}{share}}}
absent{n}: {{source: {{kafka: absent{n}, start: earliest}}, fields: {{id: varchar}}}}
readings{n}: {{source: {{mqtt: "home/+"}}, fields: {{id: varchar}}}}
"""
GOOD = "{{{{ config(materialized='table') }}}} select count(*) as n from {{{{ ref('stg_orders{n}') }}}}"
CONTRACT = (
    "dataset: lake/marts/counts\ncolumns: [{{name: n, checks: [{{invalid: {{valid_min: {least}}}}}]}}]\n"
)
ASKED = """
{ assetNodeOrError(assetKey: {path: ["millrace", "conditions"]}) { ... on AssetNode { assetChecksOrError {
  ... on AssetChecks { checks { name executionForLatestMaterialization { evaluation { success
    metadataEntries { ... on TextMetadataEntry { text } } } } } } } } } }
"""
SENSORS = """
{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "millrace"}) {
  ... on Sensors { results { name id sensorState { selectorId } } } } }
"""


class System:
    """`millrace up` on a project of its own, and everything that shows its conditions."""

    def __init__(self, folder: Path, kafka: str, mosquitto: Mosquitto, hook: Webhook, number: int) -> None:
        self.folder, self.number, self.hook = folder, number, hook
        self._environment = os.environ | {
            "MILLRACE_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "MILLRACE_MQTT_HOST": mosquitto.host,
            "MILLRACE_MQTT_PORT": str(mosquitto.port),
            "MILLRACE_UI_PORT": "0",
            "MILLRACE_ALERT_WEBHOOK_URL": hook.url,
        }
        self._run("new", str(folder), cwd=folder.parent)

    def _run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MILLRACE, *arguments], cwd=cwd or self.folder, env=self._environment, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip

    def write(self, name: str, text: str, **values: object) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(n=self.number, **values))

    def start(self) -> None:
        with (self.folder / "up.log").open("w") as log:
            self.process = subprocess.Popen(
                [MILLRACE, "up"], cwd=self.folder, env=self._environment, stdout=log, stderr=log
            )
        eventually(lambda: "Millrace runs" in self.output(), "it runs", seconds=PATIENCE_SECONDS)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def output(self) -> str:
        return (self.folder / "up.log").read_text()

    def status(self) -> Any:
        return json.loads(self._run("status", "--json").stdout)

    def check(self) -> int:
        return self._run("status", "--check").returncode

    def names(self) -> set[str]:
        return {each["name"] for each in self.status()["conditions"]}

    def doctor(self) -> str:
        return self._run("doctor", "--json").stdout

    def pid(self, service: str) -> int:
        return next(row["pid"] for row in self.status()["services"] if row["name"] == service)

    def ask(self, query: str, **variables: str) -> Any:
        request = urllib.request.Request(
            f"{self.status()['ui_url']}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def in_the_ui(self) -> dict[str, str]:
        """Kind → what its check in the web UI says, of those that failed."""
        found: dict[str, str] = {}
        for check in self.ask(ASKED)["assetNodeOrError"]["assetChecksOrError"]["checks"]:
            evaluation = (check["executionForLatestMaterialization"] or {}).get("evaluation")
            if evaluation and not evaluation["success"]:
                found[check["name"]] = " ".join(
                    each.get("text", "") for each in evaluation["metadataEntries"]
                )
        return found

    def sensor(self, name: str) -> dict[str, Any]:
        sensors = self.ask(SENSORS)["sensorsOrError"]["results"]
        return next(each for each in sensors if each["name"] == name)


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[System]:
    number = next(numbers())
    with Webhook() as hook:
        system = System(tmp_path / "p", apache_kafka.bootstrap_servers, mosquitto, hook, number)
        for topic in (f"orders{number}", f"strict{number}"):
            apache_kafka.create_topic(topic)
        produce(apache_kafka.bootstrap_servers, f"orders{number}", [b'{"id": "a"}'] * 3)
        produce(apache_kafka.bootstrap_servers, f"strict{number}", [b"no json"] * 30)
        system.write("streams.yml", STREAMS, share=", max_reject_share: 0.1")
        for name in ("orders", "strict", "absent", "readings"):
            system.write(
                f"dbt_project/models/staging/stg_{name}{number}.sql",
                f"{{{{{{{{ staging('{name}{{n}}') }}}}}}}}",
            )
        system.write("dbt_project/models/marts/counts.sql", GOOD)
        system.write("dbt_project/contracts/counts.yml", CONTRACT, least=1000)
        system.write("dbt_project/models/marts/failing.sql", GOOD.replace("count(*)", "no_such_column"))
        system.write("dbt_project/models/marts/broken.sql", "select {{{{ 1 + }}}}")
        hook.refuse = 4
        system.start()
        try:
            yield system
        finally:
            system.stop()


def test_every_trouble_is_said_everywhere_and_ends_when_it_is_mended(
    system: System, apache_kafka: ApacheKafka, mosquitto: Mosquitto
) -> None:
    seen = set[str]()
    at_first = {
        "project_file_broken", "model_failing", "stream_paused", "source_unreachable", "check_failing",
        "alert_undelivered",
    }  # fmt: skip

    def all_seen() -> bool:
        seen.update(system.names())
        return at_first <= seen

    eventually(all_seen, f"{at_first} are conditions", seconds=PATIENCE_SECONDS)
    off = system.sensor("failed_runs")
    system.ask("mutation($id: String!) { stopSensor(id: $id) { __typename } }", id=off["id"])
    mosquitto.stop()
    system.write("streams.yml", STREAMS + "more: {{sorce: none}}\n", share=", max_reject_share: 0.1")
    wanted = (at_first - {"alert_undelivered"}) | {
        "sensor_off",
        "collector_in_trouble",
        "streams_file_refused",
    }
    eventually(lambda: wanted <= system.names(), f"{wanted} are open together", seconds=PATIENCE_SECONDS)
    sentences = {each["name"]: each["sentence"] for each in system.status()["conditions"]}
    assert "unknown key 'sorce'" in sentences["streams_file_refused"]
    assert "no_such_column" in sentences["model_failing"]
    assert "models/marts/broken.sql, line 1" in sentences["project_file_broken"]
    assert "max_reject_share" in sentences["stream_paused"]
    assert "'failed_runs' was switched off" in sentences["sensor_off"]
    assert [row["stream"] for row in system.status()["streams"]], "the rest is shown too"
    assert system.check() == 1
    printed, examined = system.output(), json.loads(system.doctor())
    problems = " ".join(each["message"] for each in examined if each["state"] == "problem")
    for name in wanted:
        assert sentences[name] in printed
        assert sentences[name] in problems
    eventually(lambda: wanted <= system.in_the_ui().keys(), "the web UI shows them", seconds=60)
    shown = system.in_the_ui()
    for name in wanted:
        assert sentences[name] in shown[name]

    def alerted(event: str) -> set[str]:
        return {each["name"] for each in system.hook.taken if each["event"] == event}

    eventually(lambda: wanted <= alerted("condition_opened"), "all were posted", seconds=PATIENCE_SECONDS)
    assert "t0ken" not in printed

    apache_kafka.create_topic(f"absent{system.number}")
    mosquitto.start()
    system.ask(
        'mutation($s: String!) { startSensor(sensorSelector: {repositoryName: "__repository__", '
        'repositoryLocationName: "millrace", sensorName: $s}) { __typename } }',
        s="failed_runs",
    )
    system.write("dbt_project/contracts/counts.yml", CONTRACT, least=1)
    system.write("dbt_project/models/marts/failing.sql", GOOD)
    (system.folder / "dbt_project/models/marts/broken.sql").unlink()
    system.write("streams.yml", STREAMS, share="")
    eventually(lambda: not system.names(), "all are over", seconds=2 * PATIENCE_SECONDS)
    assert system.check() == 0
    eventually(lambda: wanted <= alerted("condition_closed"), "all ends were posted", seconds=60)
    eventually(lambda: not system.in_the_ui(), "the web UI shows none", seconds=60)

    daemon = system.pid("daemon")
    os.kill(daemon, signal.SIGSTOP)
    eventually(lambda: "service_stuck" in system.names(), "a halted process is found", seconds=60)
    os.kill(daemon, signal.SIGCONT)
    eventually(lambda: not system.names(), "it goes on", seconds=60)
    opened = [each["subject"] for each in system.hook.taken if each["event"] == "condition_opened"]
    closed = [each["subject"] for each in system.hook.taken if each["event"] == "condition_closed"]
    assert sorted(opened) == sorted(closed), "each opening has its end, once"
