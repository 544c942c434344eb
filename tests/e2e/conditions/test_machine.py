"""What fails without anybody's edit: processes, databases, disks, runs. Eight kinds, said everywhere."""

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ingestion.connectors.registry import connector
from tests.e2e.conditions.storage import close_database, in_storage, open_database
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.browser import Browser
from tests.servers.mosquitto import Mosquitto
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("processes of a whole system die again and again for a minute; alerts wait for 30 s"),
]
STREAMS = """
orders{n}: {{source: {{kafka: orders{n}, start: earliest}}, fields: {{id: varchar}}}}
readings{n}: {{source: {{mqtt: "home/+"}}, fields: {{id: varchar}}}}
"""
LAUNCH = """
mutation($config: RunConfigData) { launchRun(executionParams: {runConfigData: $config, selector: {
  repositoryName: "__repository__", repositoryLocationName: "millrace", jobName: "retry_rejects"}}) {
    __typename } }
"""
BALLAST = "ballast"
COLLECTOR = connector("mqtt").collector
STUCK_SECONDS = 1000
"""Older than the quarter of an hour after which a silent run is stuck."""


@pytest.fixture
def spare(tmp_path: Path) -> int:
    """How many bytes of the disk have to be filled until its reserve is touched."""
    # The folder may be in memory, of which the ballast must not take much.
    return min(8 * 2**30, shutil.disk_usage(tmp_path).free // 4, psutil.virtual_memory().available // 8)


@pytest.fixture
def system(tmp_path: Path, spare: int, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[System]:
    number = 1_000 + next(numbers())  # test_project.py has topics of the same names
    reserve = shutil.disk_usage(tmp_path).free - spare
    with Webhook() as hook:
        system = System(
            tmp_path / "p", kafka=apache_kafka.bootstrap_servers, mosquitto=mosquitto, hook=hook,
            number=number, environment={"DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "15"},
            DISK_RESERVE_BYTES=reserve, RESTART_STUCK=False, RUN_STALL_SECONDS=0,
        )  # fmt: skip
        apache_kafka.create_topic(f"orders{number}")
        system.write("streams.yml", STREAMS)
        system.stage("orders", "readings")
        system.start_in_a_terminal()
        try:
            yield system
        finally:
            system.stop()
            (system.folder / BALLAST).unlink(missing_ok=True)


def retry_rejects(system: System, stream: str) -> None:
    """Launch the job by hand, as one does in the web UI."""
    config = {"ops": {"decode_again": {"config": {"stream": stream}}}}
    assert system.ask(LAUNCH, config=config)["launchRun"]["__typename"] == "LaunchRunSuccess"


def halted_run(system: System, kafka: str) -> tuple[str, int]:
    """A run that goes on while events come, and is halted in the midst of it: its id and its process."""
    found: list[Any] = []

    def started() -> bool:
        produce(kafka, f"orders{system.number}", [b'{"id": "a"}'])
        found[:] = in_storage(
            system,
            "select r.run_id, e.event from runs r join event_logs e using (run_id) "
            "where r.status = 'STARTED' and e.event like '%%(pid: %%' limit 1",
        )
        return bool(found)

    eventually(started, "a run is under way", seconds=PATIENCE_SECONDS)
    ((run, event),) = found
    pid = int(re.findall(r"\(pid: (\d+)\)", event)[0])
    os.kill(pid, signal.SIGSTOP)
    return run, pid


@contextmanager
def killed_again_and_again(system: System, service: str) -> Iterator[None]:
    """Kill a service as soon as it is there."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.5):
            pid = system.pid(service)
            with suppress(OSError):
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        yield
    finally:
        over.set()
        killing.join()


def test_what_fails_by_itself_is_said_everywhere_and_ends(
    system: System, browser: Browser, apache_kafka: ApacheKafka, spare: int
) -> None:
    logs = system.data_dir / "logs"
    ballast = system.folder / BALLAST
    subprocess.run(["fallocate", "-l", str(spare * 3 // 2), ballast], check=True)
    (logs / "long.log.1").mkdir()
    with (logs / "long.log").open("wb") as log:
        log.truncate(2**26)
    retry_rejects(system, "nobody")
    run, pid = halted_run(system, apache_kafka.bootstrap_servers)
    # A halted run records nothing: what there is of it becomes as old as after a quarter of an hour.
    for table, column in (("runs", "update_timestamp"), ("event_logs", "timestamp")):
        in_storage(
            system,
            f"update {table} set {column} = {column} - interval '{STUCK_SECONDS} seconds' where run_id = %s",
            run,
        )
    first = {"disk_low", "files_not_writable", "job_failing", "run_stuck"}
    sentences = system.require_shown(first, browser)
    assert run[:8] in sentences["run_stuck"]
    assert "stream 'nobody' is not declared" in sentences["job_failing"]
    assert "long.log" in sentences["files_not_writable"]

    os.kill(pid, signal.SIGCONT)
    ballast.unlink()
    (logs / "long.log.1").rmdir()
    retry_rejects(system, f"orders{system.number}")
    system.require_over(first)

    code_server = system.pid("code-server")
    assert code_server is not None
    close_database(system, "lake")
    system.write("streams.yml", STREAMS + "# edited\n")
    eventually(lambda: "code_not_loaded" in system.names(), "the edit waits", seconds=PATIENCE_SECONDS)
    os.kill(code_server, signal.SIGSTOP)
    second = {"catalog_unreachable", "code_not_loaded", "service_down", "service_stuck", "sensor_failing"}
    with killed_again_and_again(system, COLLECTOR):
        sentences = system.require_shown(second, browser)
    assert sentences["service_down"].startswith(COLLECTOR)
    os.kill(code_server, signal.SIGCONT)
    open_database(system, "lake")
    system.require_over(second)
    system.require_each_end_once()
