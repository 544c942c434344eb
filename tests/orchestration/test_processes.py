"""Child processes and their supervisor: nothing is left behind, whoever dies."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
from pathlib import Path

import psutil
import pytest

from orchestration.demo.receiver import AlertReceiver
from orchestration.services import process
from orchestration.services.launch import launch_prefix
from orchestration.services.process import (
    ChildProcess,
    ProcessSpec,
    ServiceError,
    free_port,
    is_alive,
    wait_until,
)
from orchestration.services.supervisor import Supervisor
from tests.children import python
from tests.servers.ports import free_ports
from tests.waiting import eventually

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals exist on Linux only")


def sleeper(
    folder: Path, *, code: str = "import time; time.sleep(300)", name: str = "sleeper"
) -> ChildProcess:
    return ChildProcess(ProcessSpec(name=name, argv=(sys.executable, "-c", code), log_folder=folder))


def test_a_child_that_fails_is_quoted(tmp_path: Path) -> None:
    code = "raise SystemExit('the disk is made of cheese')"
    spec = ProcessSpec(
        name="cheese", argv=(sys.executable, "-c", code), log_folder=tmp_path, ready=lambda: False
    )
    with pytest.raises(ServiceError, match=r"cheese ended at once; .*cheese\.log ends with: the disk is"):
        ChildProcess(spec).start()


def test_a_long_line_of_its_log_is_cut(tmp_path: Path) -> None:
    cheese = sleeper(tmp_path, code="raise SystemExit('first\\n' + 'cheese, ' * 800)", name="cheese")
    cheese.launch()
    eventually(lambda: not cheese.is_running(), "it has ended")
    first, last = cheese.log_tail().split(" | ")
    assert first == "first"
    assert last.startswith("cheese, cheese")
    assert last.endswith("…")
    assert len(last) < 300


def test_a_child_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    spec = ProcessSpec(
        name="late",
        argv=(sys.executable, "-c", code),
        log_folder=tmp_path,
        ready=lambda: False,
        ready_timeout_s=0.5,
    )
    with pytest.raises(ServiceError, match=r"late was not ready within 0\.5 s; .* ends with: \d+$"):
        ChildProcess(spec).start()
    assert not psutil.pid_exists(int((tmp_path / "late.log").read_text()))


def test_stop_takes_the_whole_group_and_only_that(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']).pid, flush=True)\n"
        "time.sleep(300)"
    )
    log = tmp_path / "stubborn.log"
    child = ChildProcess(
        ProcessSpec(
            name="stubborn",
            argv=(sys.executable, "-c", stubborn),
            log_folder=tmp_path,
            ready=lambda: log.read_text().endswith("\n"),
            stop_timeout_s=0.2,
        )
    )
    bystander = sleeper(tmp_path, name="bystander")
    bystander.start()
    child.start()
    grandchild = psutil.Process(int(log.read_text()))
    child.stop()
    try:
        assert not is_alive(grandchild)
        assert not child.is_running()
        assert bystander.is_running()
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
    finally:
        bystander.stop()


@on_linux
@pytest.mark.parametrize("with_setpriv", [True, False])
def test_a_child_dies_when_its_parent_is_killed(with_setpriv: bool) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "from orchestration.services import launch\n"
        f"if not {with_setpriv}: launch.setpriv = lambda: None\n"
        "prefix = launch.launch_prefix(account=None, death_signal=signal.SIGTERM)\n"
        "code = 'import time; print(1, flush=True); time.sleep(300)'\n"
        "child = subprocess.Popen([*prefix, sys.executable, '-c', code], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)"
    )
    parent = python(code)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert is_alive(child)
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not is_alive(child), timeout_s=60)


def test_nothing_asked_for_nothing_added() -> None:
    assert launch_prefix(account=None, death_signal=None) == ()


@on_linux
def test_a_side_thread_may_not_start_what_would_die_with_it(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def start() -> None:
        try:
            sleeper(tmp_path).start()
        except ServiceError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


def test_the_supervisor_restarts_with_growing_pauses(tmp_path: Path) -> None:
    child = sleeper(tmp_path)
    supervisor = Supervisor([child])
    supervisor.start()
    try:
        now_s = 0.0
        for restarts, pause_s in ((1, 1.0), (2, 2.0), (3, 4.0)):
            assert child.pid is not None
            process = psutil.Process(child.pid)
            os.kill(child.pid, signal.SIGKILL)
            assert wait_until(lambda process=process: not is_alive(process), timeout_s=60)
            (state,) = supervisor.check(now_s)
            assert not state.running
            (state,) = supervisor.check(now_s + pause_s - 0.1)
            assert (state.running, state.restarts) == (False, restarts - 1)
            (state,) = supervisor.check(now_s + pause_s)
            assert (state.running, state.restarts) == (True, restarts)
            now_s += pause_s
        supervisor.check(now_s + 1000)
        child.kill()
        supervisor.check(now_s + 2000)
        assert supervisor.check(now_s + 2001)[0].restarts == 4
    finally:
        supervisor.stop()
    assert supervisor.alive()[0].pid is None


def test_any_failure_of_a_start_is_tried_again_and_the_others_go_on(tmp_path: Path) -> None:
    first, second = sleeper(tmp_path / "first", name="first"), sleeper(tmp_path / "second", name="second")
    supervisor = Supervisor([first, second])
    supervisor.start()
    try:
        first.kill()
        second.kill()
        first.log_file.unlink()
        first.log_file.symlink_to(tmp_path / "elsewhere")  # which is an OSError to the one who opens it
        supervisor.check(0.0)
        failed, started = supervisor.check(1.0)
        assert started.running
        assert failed.last_error is not None
        assert failed.last_error.startswith("first was not started (")
        assert str(first.log_file) in failed.last_error
        supervisor.check(2.0)
        first.log_file.unlink()
        assert not supervisor.check(3.9)[0].running, "the pause has grown"
        assert supervisor.check(4.0)[0].running
        assert supervisor.alive()[0].last_error is None
    finally:
        supervisor.stop()


def test_the_supervisor_leaves_nothing_behind_when_one_fails(tmp_path: Path) -> None:
    first = sleeper(tmp_path, name="first")
    second = ChildProcess(ProcessSpec(name="second", argv=("/no/such/program",), log_folder=tmp_path))
    with pytest.raises(ServiceError, match="second"):
        Supervisor([first, second]).start()
    assert not first.is_running()


def test_a_port_is_given_once_though_nobody_listens_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = free_ports(2)
    monkeypatch.setattr(process, "_given", set())
    monkeypatch.setattr(process.random.SystemRandom, "sample", lambda *_, **__: [first, second])
    assert [free_port(), free_port()] == [first, second]
    with pytest.raises(ServiceError, match="no free port"):
        free_port()


def test_a_receiver_whose_port_is_taken_says_so(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=f"receiver of alerts cannot listen on 127.0.0.1:{port}"):
            AlertReceiver(tmp_path / "received.jsonl", port=port).start()
