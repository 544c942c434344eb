"""kill -9 of all of `millrace up` in the first run of a new lake: started again, it raises no false alarm.

What webhook, conditions and web UI show is recorded from when it runs again, while events come.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import duckdb
import psutil
import pytest

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from orchestration.records.system_state import read_system_state
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.long("three first runs, each watched for more than a minute"),
    pytest.mark.timeout(1200),
]
_numbers = numbers()
WATCHED_SECONDS = 60.0
STREAMS = """
orders{n}: {{source: {{kafka: orders{n}, start: earliest}}, business_id: id, fields: {{id: varchar}}}}
"""
SHOWN = """
{
  runsOrError(limit: 1000) { ... on Runs { results { runId status jobName creationTime } } }
  assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
    name executionForLatestMaterialization { runId status evaluation { success severity } } } } } }
}
"""


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka) -> Iterator[System]:
    with Webhook() as hook:
        number = 4_000 + next(_numbers)
        system = System(tmp_path / "p", kafka=apache_kafka.bootstrap_servers, hook=hook, number=number)
        apache_kafka.create_topic(f"orders{system.number}")
        system.write("streams.yml", STREAMS)
        system.stage("orders")
        try:
            yield system
        finally:
            system.stop()


def rows(system: System, table: str) -> int:
    """How many rows a table of the lake has; -1 where there is none, or no lake."""
    with suppress(MillraceError, duckdb.Error):
        settings = load_settings(project=system.folder, data_dir=system.data_dir)
        with Lake(settings, read_only=True) as lake:
            return int(lake.query(f"select count(*) from {table}")[0][0])
    return -1


def processes_of(system: System, *, but: str = "") -> list[psutil.Process]:
    """Every process that belongs to the system and lives, its supervisor first; none in that state."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = [*process.cmdline(), process.cwd(), process.environ().get("MILLRACE_DATA_DIR", "")]
            if process.status() not in (psutil.STATUS_ZOMBIE, but) and any(
                str(system.folder) in each for each in named
            ):
                found.append(process)
    return found


def kill_all(system: System) -> None:
    """kill -9 of all of them at one moment, as far as they can tell: they are halted before."""
    while running := processes_of(system, but=psutil.STATUS_STOPPED):
        for process in running:
            with suppress(psutil.Error):
                process.suspend()
    while found := processes_of(system):
        for process in found:
            with suppress(psutil.Error):
                process.kill()
    system.stop()


def failures(system: System, *, since: float = 0.0) -> set[str]:
    """What fails in the web UI now, of runs that were made since some moment.

    A run that was killed has failed, and so have the checks that it would have made: both are true.
    """
    shown = system.ask(SHOWN)
    runs = {run["runId"]: run for run in shown["runsOrError"]["results"] if run["creationTime"] > since}
    failed = {
        f"run of {run['jobName']}"
        for run in runs.values()
        if run["status"] in ("FAILURE", "CANCELED") and since
    }
    for node in shown["assetNodes"]:
        for check in node["assetChecksOrError"].get("checks", ()):
            made = check["executionForLatestMaterialization"]
            if made is None or made["runId"] not in runs:
                continue
            judged = made["evaluation"] or {"success": True, "severity": ""}
            # A warning, as of a budget that a busy machine misses, is not a failure.
            is_failed = judged["severity"] != "WARN" and not judged["success"]
            if made["status"] == "EXECUTION_FAILED" or is_failed:
                failed.add(f"check {check['name']} of {'/'.join(node['assetKey']['path'])}")
    return failed


def has_begun(system: System) -> bool:
    """The first run has a process."""
    return any((system.data_dir / "logs" / "runs").glob("*"))


def has_landed(system: System) -> bool:
    """Its first batch is in raw, and nothing is built."""
    return rows(system, f"raw.orders{system.number}") > 0


def has_staged(system: System) -> bool:
    """The first model is built, and not checked."""
    return rows(system, f"staging.stg_orders{system.number}") > 0


@pytest.mark.parametrize("moment", [has_begun, has_landed, has_staged])
def test_a_new_lake_whose_first_run_was_killed_raises_no_false_alarm(
    system: System, apache_kafka: ApacheKafka, moment: Callable[[System], bool]
) -> None:
    sent = 0

    def send() -> None:
        nonlocal sent
        event = json.dumps({"id": f"o-{sent}"}).encode()
        produce(apache_kafka.bootstrap_servers, f"orders{system.number}", [event])
        sent += 1

    send()
    system.start()
    eventually(lambda: moment(system), "the first run is there", seconds=PATIENCE_SECONDS)
    kill_all(system)
    assert system.hook.taken == [], "it was well until then"
    again_at = time.time()
    system.start()
    until = time.monotonic() + WATCHED_SECONDS
    published = partial(read_system_state, system.data_dir)
    eventually(published, "it publishes what runs", seconds=PATIENCE_SECONDS)
    while time.monotonic() < until:
        send()
        assert failures(system, since=again_at) == set()
        assert system.names() == set()
        time.sleep(1)
    assert system.hook.taken == []
    eventually(
        lambda: rows(system, f"staging.stg_orders{system.number}") == sent,
        "all of it",
        seconds=PATIENCE_SECONDS,
    )
    assert rows(system, f"raw.orders{system.number}") == sent
    eventually(lambda: failures(system) == set(), "its checks were made again", seconds=PATIENCE_SECONDS)
    assert system.check() == 0
