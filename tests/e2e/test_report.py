"""The report's schedule in a running system: it fires by itself, and the file is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conditions.system import System
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("a whole system is started, and a minute's schedule is waited for"),
]
_RUNS = """
{ runsOrError(filter: {pipelineName: "report"}) { ... on Runs { results { status tags { key value } } } } }
"""


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka) -> Iterator[System]:
    number = 4_000 + next(numbers())
    with Webhook() as hook:
        system = System(
            tmp_path / "p",
            kafka=apache_kafka.bootstrap_servers,
            hook=hook,
            number=number,
            REPORT_SCHEDULE="* * * * *",
        )
        apache_kafka.create_topic(f"clicks{number}")
        system.write(
            "streams.yml",
            "clicks{n}:\n  source: {{kafka: clicks{n}, start: earliest}}\n  fields: {{id: varchar}}\n",
        )
        system.stage("clicks")
        try:
            system.start()
            yield system
        finally:
            system.stop()


def test_the_schedule_fires_and_the_file_is_there(system: System, apache_kafka: ApacheKafka) -> None:
    produce(apache_kafka.bootstrap_servers, f"clicks{system.number}", [b'{"id": "a"}', b"no JSON"])
    folder = system.data_dir / "reports"

    def newest() -> str:
        files = sorted(folder.glob("report-*.html"))
        return files[-1].read_text(encoding="utf-8") if files else ""

    eventually(lambda: f"clicks{system.number}" in newest(), "a report with the stream", seconds=300)
    eventually(lambda: "not_json" in newest(), "a later one, with the reject", seconds=300)
    eventually(lambda: re.search(r"CPU-seconds for [1-9]", newest()), "one with costs", seconds=300)
    runs = system.ask(_RUNS)["runsOrError"]["results"]
    by_schedule = [
        run for run in runs if {"key": "dagster/schedule_name", "value": "regular_report"} in run["tags"]
    ]
    assert len(by_schedule) >= 1
    assert {run["status"] for run in by_schedule} <= {"SUCCESS", "STARTED", "STARTING", "QUEUED"}
    assert "SUCCESS" in {run["status"] for run in by_schedule}
