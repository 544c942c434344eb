"""What the supervisor sees of its machine: real processes, real files, a database that is away or hangs."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ingestion.collect.status import status_file
from ingestion.connectors.registry import collecting_connectors
from ingestion.settings import Settings, load_settings
from orchestration.observe import collecting, machine, observer
from orchestration.observe.collecting import Collecting
from orchestration.observe.machine import Restarts
from orchestration.observe.observer import Observer
from orchestration.records.system_state import ServiceRow
from tests.waiting import eventually

CONNECTOR = collecting_connectors()[0]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.send_signal(signal.SIGCONT)
        process.kill()


def row(name: str, pid: int | None) -> ServiceRow:
    return ServiceRow(name, pid is not None, pid, 0, "")


def test_a_service_that_ends_again_and_again_is_down_until_it_has_lived_for_a_while() -> None:
    restarts = Restarts(Path("/logs"))

    def down(now_s: float, *, running: bool) -> bool:
        return bool(list(restarts.down([row("daemon", 1 if running else None)], now_s=now_s)))

    assert not down(0, running=True)
    assert down(1, running=False)
    assert down(2, running=True)
    assert down(3, running=False)
    assert down(20, running=True), "it took long to start"
    assert down(27, running=True)
    assert not down(29, running=True)


def test_a_process_that_was_halted_is_stuck_until_it_goes_on(process: subprocess.Popen[bytes]) -> None:
    services = [row("daemon", process.pid), row("web", None), row("warm", 2**22 + 1)]
    assert not list(machine.standing(services))
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: bool(list(machine.standing(services))), "it is halted")
    (found,) = machine.standing(services)
    assert (found.name, found.subject) == ("service_stuck", "daemon")
    assert found.remedy == "It is ended and started again by itself."
    process.send_signal(signal.SIGCONT)
    eventually(lambda: not list(machine.standing(services)), "it goes on")


def test_what_a_collector_reports_and_that_it_reports_nothing(
    tmp_path: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    services, file = [row(CONNECTOR.collector, process.pid)], status_file(tmp_path, CONNECTOR)

    def found() -> list[tuple[str, str]]:
        return [(each.name, each.sentence) for each in Collecting(tmp_path).look(services)]

    assert found() == [], "a process that has just begun may not have written yet"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"error": "the broker is away", "warning": "two were dropped"}))
    assert found() == [
        ("collector_in_trouble", "the broker is away"),
        ("collector_in_trouble", "two were dropped"),
    ]
    file.write_text("{}")
    assert found() == []
    monkeypatch.setattr(collecting, "_SILENT_SECONDS", 0.2)
    os.utime(file, (0, 0))
    eventually(lambda: bool(found()), "it has been silent for long")
    assert found()[0][0] == "service_stuck"
    services.clear()
    assert found() == [], "one that nobody needs is not missed"


def test_a_disk_that_is_nearly_full_is_named_once(tmp_path: Path) -> None:
    folders = [tmp_path, tmp_path]
    assert not list(machine.disks(folders, known=set(), reserve_bytes=1))
    (found,) = machine.disks(folders, known=set(), reserve_bytes=2**62)
    assert found.sentence.startswith(f"the disk of {tmp_path} has less than ")


@pytest.mark.parametrize(
    ("free", "reserve", "said"),
    [(0, 2 * 2**30, "1 MiB"), (300 * 2**20, 2 * 2**30, "512 MiB"), (301 * 2**20, 2 * 2**30, "512 MiB"),
     (2**30, 2 * 2**30, "2 GiB"), (49 * 2**30, 50 * 2**30, "50 GiB")],
)  # fmt: skip
def test_free_space_is_said_so_that_not_every_byte_makes_another_sentence(
    free: int, reserve: int, said: str
) -> None:
    assert machine.at_most(free, reserve) == said


def test_a_catalog_that_is_away_is_one_condition_and_everything_of_dagster_is_unknown(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, catalog="postgresql://nobody@127.0.0.1:1/lake")
    seen = Observer(settings, lambda: ()).look_at_databases()
    assert [(each.name, each.subject) for each in seen.findings] == [("catalog_unreachable", "catalog")]
    assert {"sensor_off", "job_failing", "check_failing"} <= seen.unknown
    assert "catalog_unreachable" not in seen.unknown


def test_a_catalog_that_answers_closes_it(settings: Settings) -> None:
    seen = Observer(settings, lambda: ()).look_at_databases()
    assert (seen.findings, seen.unknown) == ((), frozenset())


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for each in held:
            each.close()


def test_a_database_that_hangs_is_found_while_the_look_at_it_hangs(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "_HANGS_SECONDS", 0.5)
    settings = load_settings(
        data_dir=tmp_path, catalog=f"postgresql://nobody@127.0.0.1:{silent}/lake", disk_reserve_bytes=2**62
    )
    watching = Observer(settings, lambda: ())
    watching.start()
    eventually(
        lambda: (
            {"PostgreSQL does not answer", "disk_low"}
            <= {text for each in watching.seen().findings for text in (each.sentence, each.name)}
        ),
        "what hangs is found while it hangs, and what does not hang too",
    )
    watching.stop()


def test_status_answers_while_everything_hangs(tmp_path: Path, silent: int) -> None:
    """In a process of its own, because it leaves by the shortest way."""
    (tmp_path / "streams.yml").write_text("orders:\n  source: {kafka: orders}\n  fields: {id: varchar}\n")
    (tmp_path / "dbt_project").mkdir()
    env = {
        **os.environ,
        "MILLRACE_PROJECT": str(tmp_path),
        "MILLRACE_DATA_DIR": str(tmp_path / "data"),
        "MILLRACE_CATALOG": f"postgresql://nobody@127.0.0.1:{silent}/lake",
        "MILLRACE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent}",
    }
    command = [sys.executable, "-c", "from orchestration.cli import main; main()", "status"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "did not answer in time" in done.stdout
    assert "Millrace not running" in done.stdout
    checked = subprocess.run([*command, "--check"], env=env, capture_output=True, timeout=60, check=False)
    assert checked.returncode == 1
