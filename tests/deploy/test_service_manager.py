"""What systemd is shown, on a real datagram socket: ready, alive as long as the loop goes round, stopping."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.settings import load_settings
from orchestration.cli.live import watch
from orchestration.conditions.condition import Condition, Finding
from orchestration.records.system_state import ServiceRow
from orchestration.services.process import ServiceError
from orchestration.services.supervisor import Supervisor
from orchestration.system.running import System
from orchestration.system.service_manager import ServiceManager, describe


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str | bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def received(self) -> list[str]:
        """The lines of what came since the last call."""
        lines: list[str] = []
        with suppress(BlockingIOError):
            while True:
                lines += self._socket.recv(65536, socket.MSG_DONTWAIT).decode().splitlines()
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(str(tmp_path / "notify"))
    yield systemd
    systemd.close()


@pytest.fixture
def manager(tmp_path: Path, systemd: Systemd) -> ServiceManager:
    return ServiceManager(str(tmp_path / "notify"))


def test_each_message_is_a_line_of_the_protocol(manager: ServiceManager, systemd: Systemd) -> None:
    manager.status("starting\npostgres")
    manager.status("starting postgres")
    manager.ready()
    manager.alive()
    manager.stopping()
    wanted = ["STATUS=starting postgres", "READY=1", "WATCHDOG=1", "STOPPING=1", "STATUS=stopping"]
    assert systemd.received() == wanted, "the same line is shown once"


def test_an_abstract_socket_is_found_too(tmp_path: Path) -> None:
    systemd = Systemd(f"\0{tmp_path}".encode())
    ServiceManager(f"@{tmp_path}").ready()
    assert systemd.received() == ["READY=1"]
    systemd.close()


def test_a_service_manager_that_is_gone_disturbs_nobody(tmp_path: Path) -> None:
    ServiceManager("").ready()
    ServiceManager(str(tmp_path / "nobody")).ready()


def test_it_is_alive_as_long_as_the_loop_goes_round(
    manager: ServiceManager, systemd: Systemd, tmp_path: Path
) -> None:
    system = System(
        load_settings(data_dir=tmp_path / "data"), mode="up", ui=False, progress=print, alive=manager.alive
    )
    (tmp_path / "data").mkdir()
    rounds: list[int] = []
    beats: list[int] = []

    def until() -> bool:
        beats.append(systemd.received().count("WATCHDOG=1"))
        rounds.append(1)
        return len(rounds) > 2

    watch(
        system,
        title="It runs",
        until=until,
        checked=lambda services: manager.status(describe(services, system.conditions)),
    )
    assert beats == [0, 1, 1], "one for each round"
    assert systemd.received() == []
    assert system.check(0.0) == ()
    assert systemd.received() == ["WATCHDOG=1"]


def test_a_service_that_starts_slowly_is_no_reason_to_be_restarted() -> None:
    class Down:
        name, pid = "down", None

        def is_running(self) -> bool:
            return False

        def start(self) -> None:
            raise ServiceError("it does not start")

        def stop(self) -> None: ...

    tried: list[float] = []
    supervisor = Supervisor([Down()], tried=lambda: tried.append(time.monotonic()))
    supervisor.check(0.0)
    supervisor.check(10.0)
    assert len(tried) == 2


def test_one_line_says_how_it_is() -> None:
    def row(name: str, running: bool) -> ServiceRow:
        return ServiceRow(name, running, 1 if running else None, 0, "")

    assert describe([row("a", True), row("b", True)], []) == "2 of 2 services run"
    found = [Finding("service_down", name, f"{name} does not run", "look into its log") for name in "bc"]
    conditions = [Condition(at, finding, datetime.now(UTC)) for at, finding in enumerate(found)]
    line = describe([row("a", True), row("b", False)], conditions)
    assert line == "1 of 2 services run; down: b; b does not run (and 1 more)"
