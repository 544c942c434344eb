"""The warm process and its launcher: real processes, a real Dagster instance, a throwaway code location."""

import itertools
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext, WorkerStatus

from orchestration.keys import HANGING_TAG
from orchestration.observe.launching import TAG
from orchestration.warm import protocol, runs, worker
from orchestration.warm.launcher import ONCE_TAG, WarmRunLauncher
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
DEFINITIONS = """
import os, subprocess, sys, time
from dagster import Definitions, in_process_executor, job, op

@op
def hello(context):
    context.log.info("version one")

@op
def leave():
    os._exit(0)

@op
def abort():
    os.abort()

@op
def fail():
    raise ValueError("on purpose")

@op
def nap():
    while True:
        time.sleep(0.05)

@op
def stubborn():
    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            pass

@op
def parent(context):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    context.log.info(f"child {child.pid}")
    os.abort()

def as_job(an_op):
    @job(name=an_op.name + "_job", executor_def=in_process_executor)
    def made():
        an_op()
    return made

defs = Definitions(jobs=[as_job(o) for o in (hello, leave, abort, fail, nap, stubborn, parent)])
"""


_numbers = itertools.count(1)
T = TypeVar("T")


@dataclass
class Site:
    """A code location, an instance and the warm process between them."""

    folder: Path
    socket_path: Path
    module: str
    instance: DagsterInstance
    process: subprocess.Popen[bytes]

    @property
    def code(self) -> Path:
        return self.folder / "code" / f"{self.module}.py"

    @property
    def launcher(self) -> WarmRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        return launcher

    def create(self, job: str, **more: Any) -> DagsterRun:
        repository = ReconstructableRepository.for_module(self.module, "defs", str(self.folder / "code"))
        recon = repository.get_reconstructable_job(job)
        return self.instance.create_run_for_job(
            recon.get_definition(), job_code_origin=recon.get_python_origin(), **more
        )

    def launch(self, job: str) -> str:
        run_id = self.create(job).run_id
        self.instance.launch_run(run_id, None)  # type: ignore[arg-type]
        return run_id

    def run(self, run_id: str) -> DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def wait(self, run_id: str, status: DagsterRunStatus) -> None:
        eventually(lambda: self.run(run_id).is_finished, f"the end of {run_id}")
        assert self.run(run_id).status == status, self.messages(run_id)

    def wait_for_step(self, run_id: str) -> None:
        eventually(
            lambda: bool(self.instance.all_logs(run_id, of_type=DagsterEventType.STEP_START)), "a step"
        )

    def messages(self, run_id: str) -> str:
        return "\n".join(entry.message for entry in self.instance.all_logs(run_id))

    def ping(self) -> protocol.Message:
        return protocol.call(self.socket_path, {"op": "ping"}, timeout_s=60)


def start(
    folder: Path, socket_path: Path, module: str, *, patience: float = 0.5, stall: float = 0.0
) -> subprocess.Popen[bytes]:
    with open(folder / "warm.log", "ab") as log:
        return subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "orchestration.warm",
                    f"--socket={socket_path}",
                    f"--module={module}",
                ),
                *(f"--working-directory={folder / 'code'}", f"--watch={folder / 'code'}"),
                *(f"--log-dir={folder / 'runs'}", "--grace-seconds=1", "--die-with-parent"),
                *(f"--patience-seconds={patience:g}", f"--stall-seconds={stall:g}"),
            ],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )


def await_listening(socket_path: Path, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert process.poll() is None, "the warm process ended"
        try:
            protocol.call(socket_path, {"op": "ping"}, timeout_s=60)
        except (protocol.WarmProcessAway, protocol.WarmProcessBusy):  # it imports what its runs need
            return False
        return True

    eventually(answers, "the warm process listens", seconds=240)


def make_site(folder: Path, module: str, *, stall: float = 0.0) -> Site:
    # Long enough that the socket's name does not fit into a socket address.
    run_folder = folder / ("deep" * 25)
    (folder / "code").mkdir(parents=True)
    (folder / "code" / f"{module}.py").write_text(DEFINITIONS)
    home = folder / "home"
    home.mkdir()
    socket_path = run_folder / "warm.sock"
    config = {
        "telemetry": {"enabled": False},
        "run_launcher": {
            "module": "orchestration.warm.launcher",
            "class": "WarmRunLauncher",
            "config": {"socket_path": str(socket_path)},
        },
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    process = start(folder, socket_path, module, stall=stall)
    await_listening(socket_path, process)
    return Site(folder, socket_path, module, DagsterInstance.from_config(str(home)), process)


def end(site: Site) -> None:
    site.instance.dispose()
    if site.process.poll() is None:
        site.process.terminate()
        site.process.wait(60)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = make_site(tmp_path_factory.mktemp("warm"), "shared_location")
    yield site
    end(site)


@pytest.fixture(scope="session")
def alive() -> Iterator[list[Site]]:
    """Sites whose test has ended: a warm process takes long to begin, so the next test goes on with it."""
    sites: list[Site] = []
    yield sites
    for site in sites:
        end(site)


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, alive: list[Site]) -> Iterator[Site]:
    """A site whose process has just begun, of a test that may break it."""
    site = make_site(tmp_path_factory.mktemp("warm"), f"location_{next(_numbers)}")
    yield site
    leave(site, alive)


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory, alive: list[Site]) -> Iterator[Site]:
    """A site of a test that may break it; its process may have had runs before."""
    site = alive.pop() if alive else make_site(tmp_path_factory.mktemp("warm"), f"location_{next(_numbers)}")
    yield site
    leave(site, alive)


def leave(site: Site, alive: list[Site]) -> None:
    """End a site, or let the next test have it, with its first code again."""
    if site.process.poll() is not None or site.ping()["runs"]:
        return end(site)
    # Each time of another length: Python tells sources by length and second, and keeps what it compiled.
    site.code.write_text(f"{DEFINITIONS}# {'again ' * next(_numbers)}\n")
    sys.modules.pop(site.module, None)
    alive.append(site)
    return None


def in_one_worker(test: T) -> T:
    """So that one test's process is there for the next."""
    return pytest.mark.early(pytest.mark.xdist_group("warm")(test))


def test_a_run_succeeds_and_leaves_no_output_file(shared: Site) -> None:
    run = shared.run(shared.launch("hello_job"))
    shared.wait(run.run_id, DagsterRunStatus.SUCCESS)
    assert "version one" in shared.messages(run.run_id)
    eventually(lambda: not shared.ping()["runs"], "the process is gone")
    assert not (shared.folder / "runs" / f"{run.run_id}.log").exists()
    assert shared.launcher.check_run_worker_health(run).status == WorkerStatus.SUCCESS


def test_four_at_once(shared: Site) -> None:
    run_ids = [shared.create("hello_job").run_id for _ in range(4)]
    threads = [threading.Thread(target=shared.instance.launch_run, args=(run_id, None)) for run_id in run_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for run_id in run_ids:
        shared.wait(run_id, DagsterRunStatus.SUCCESS)


def test_of_the_runs_for_one_alert_the_first_is_executed_however_late_a_launch_comes(shared: Site) -> None:
    assert ONCE_TAG == TAG
    key = f"journal-{next(_numbers)}-opened-pager"
    late, again = (shared.create("hello_job", tags={TAG: key}).run_id for _ in range(2))
    for run_id in (again, late):
        shared.instance.launch_run(run_id, None)  # type: ignore[arg-type]
    shared.wait(again, DagsterRunStatus.CANCELED)
    assert f"Run {late} is there for the same alert." in shared.messages(again)
    shared.wait(late, DagsterRunStatus.SUCCESS)
    repeated = shared.create("hello_job", tags={TAG: key}, parent_run_id=late, root_run_id=late).run_id
    shared.instance.launch_run(repeated, None)  # type: ignore[arg-type]
    shared.wait(repeated, DagsterRunStatus.SUCCESS)  # somebody wants it again


def test_a_failing_run_keeps_its_output(shared: Site) -> None:
    run_id = shared.launch("fail_job")
    shared.wait(run_id, DagsterRunStatus.FAILURE)
    assert "on purpose" in (shared.folder / "runs" / f"{run_id}.log").read_text()


def test_of_failed_runs_the_newest_outputs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_kill_group", lambda _pid: None)  # these processes never were
    table = runs.RunTable(tmp_path, grace_seconds=1)
    living = table.log_path("living")
    living.touch()
    table.add("living", pid=1, run_args="")
    for number in range(runs._KEPT_LOGS + 50):
        log = table.log_path(f"run{number}")
        log.touch()
        os.utime(log, (number, number))
        table.add(log.stem, pid=100_000 + number, run_args="")
        table.ended(100_000 + number, wait_status=worker.DONE_WITH_FAILURE << 8)
    kept = {path.stem for path in tmp_path.glob("*.log")}
    assert kept == {"living", *(f"run{50 + number}" for number in range(runs._KEPT_LOGS))}


@in_one_worker
def test_outputs_that_an_earlier_one_left_are_pruned_at_the_start(own: Site) -> None:
    own.process.terminate()
    own.process.wait(60)
    outputs = own.folder / "runs"
    for number in range(runs._KEPT_LOGS + 50):
        (outputs / f"old{number}.log").touch()
    own.process = start(own.folder, own.socket_path, own.module)
    await_listening(own.socket_path, own.process)
    assert len(list(outputs.glob("*.log"))) <= runs._KEPT_LOGS + 1  # and that of the worker that waits


@pytest.mark.parametrize(("job", "how"), [("leave_job", "exited with code 0"), ("abort_job", "SIGABRT")])
def test_a_process_that_dies_fails_its_run_by_itself(shared: Site, job: str, how: str) -> None:
    run_id = shared.launch(job)
    shared.wait(run_id, DagsterRunStatus.FAILURE)
    assert how in shared.messages(run_id)
    health = shared.launcher.check_run_worker_health(shared.run(run_id))
    assert health.status == WorkerStatus.FAILED
    assert how in str(health.msg)


def test_a_killed_process_fails_its_run(shared: Site) -> None:
    run_id = shared.launch("nap_job")
    shared.wait_for_step(run_id)
    assert shared.launcher.check_run_worker_health(shared.run(run_id)).status == WorkerStatus.RUNNING
    (worker,) = [p for p in psutil.Process(shared.process.pid).children() if p.pid == pid_of(shared, run_id)]
    worker.kill()
    shared.wait(run_id, DagsterRunStatus.FAILURE)
    assert "SIGKILL" in shared.messages(run_id)


@pytest.mark.slow("a warm process of its own, whose run has to hang for a while")
def test_a_run_that_does_not_get_on_is_ended_and_the_next_one_succeeds(tmp_path: Path) -> None:
    site = make_site(tmp_path, "stalling_location", stall=2.0)
    run_id = site.launch("nap_job")
    site.wait_for_step(run_id)
    stage = site.folder / "runs" / f"{run_id}.stage"
    said = {"doing": "reading", "computing_counts": False, "tags": {HANGING_TAG: "orders"}, "number": 1}
    stage.write_text(json.dumps(said))
    site.wait(run_id, DagsterRunStatus.FAILURE)
    assert "was ended because it had not got on for 2 s while reading" in site.messages(run_id)
    assert site.run(run_id).tags[HANGING_TAG] == "orders"
    assert not stage.exists()
    site.wait(site.launch("hello_job"), DagsterRunStatus.SUCCESS)
    end(site)
    sys.modules.pop("stalling_location", None)


def pid_of(site: Site, run_id: str) -> int:
    (entry,) = [e for e in site.instance.all_logs(run_id) if "Forked a process for the run" in e.message]
    return int(entry.message.rsplit(" ", 1)[1].rstrip(").").lstrip("("))


def test_what_a_dead_run_started_is_killed_too(shared: Site) -> None:
    run_id = shared.launch("parent_job")
    shared.wait(run_id, DagsterRunStatus.FAILURE)
    (line,) = [m for m in shared.messages(run_id).splitlines() if m.startswith("child ")]
    eventually(lambda: not psutil.pid_exists(int(line.split()[1])), "the end of the run's child")


def test_termination_is_polite_first(shared: Site) -> None:
    run_id = shared.launch("nap_job")
    shared.wait_for_step(run_id)
    assert shared.launcher.terminate(run_id)
    shared.wait(run_id, DagsterRunStatus.CANCELED)
    assert "SIGKILL" not in shared.messages(run_id)
    assert not shared.launcher.terminate(run_id)


def test_termination_is_by_force_after_the_grace(shared: Site) -> None:
    run_id = shared.launch("stubborn_job")
    shared.wait_for_step(run_id)
    assert shared.launcher.terminate(run_id)
    shared.wait(run_id, DagsterRunStatus.CANCELED)
    assert "SIGKILL" in shared.messages(run_id)


def test_a_run_of_which_no_process_is_known(shared: Site) -> None:
    run = shared.create("hello_job")
    assert shared.launcher.check_run_worker_health(run).status == WorkerStatus.NOT_FOUND
    assert shared.launcher.terminate(run.run_id)
    assert shared.run(run.run_id).status == DagsterRunStatus.CANCELED


def test_the_same_run_is_not_started_twice(shared: Site) -> None:
    run_id = shared.launch("nap_job")
    with pytest.raises(protocol.WarmProcessRefused, match="already has a process"):
        protocol.call(shared.socket_path, {"op": "launch", "run_id": run_id, "run_args": "{}"}, timeout_s=60)
    shared.wait_for_step(run_id)
    shared.launcher.terminate(run_id)
    shared.wait(run_id, DagsterRunStatus.CANCELED)


def test_a_run_canceled_before_its_process_began(shared: Site) -> None:
    run = shared.create("hello_job")
    shared.instance.report_run_canceling(run)
    shared.launcher.launch_run(LaunchRunContext(run, workspace=None))
    shared.wait(run.run_id, DagsterRunStatus.CANCELED)


def test_nobody_else_reaches_the_socket(shared: Site) -> None:
    assert stat.S_IMODE(shared.socket_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.socket_path.parent.stat().st_mode) == 0o700


def test_nonsense_and_silence_do_no_harm(shared: Site) -> None:
    with pytest.raises(protocol.WarmProcessRefused, match="does not know the request 'dance'"):
        protocol.call(shared.socket_path, {"op": "dance"}, timeout_s=60)
    with pytest.raises(protocol.WarmProcessRefused, match="lacks 'run_id'"):
        protocol.call(shared.socket_path, {"op": "health"}, timeout_s=60)
    for bytes_sent in (b"no json\n", b"", b'{"op": "pi'):
        folder = os.open(shared.socket_path.parent, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{folder}/{shared.socket_path.name}")
            connection.sendall(bytes_sent)
        os.close(folder)
    assert shared.ping()["pid"] == shared.process.pid


def test_a_second_one_on_the_same_socket_says_who_is_there(shared: Site) -> None:
    second = start(shared.folder, shared.socket_path, shared.module)
    assert second.wait(60) == 1
    assert "Another warm process serves" in (shared.folder / "warm.log").read_text()
    assert shared.ping()["pid"] == shared.process.pid


@in_one_worker
def test_the_next_one_waits_until_the_last_has_ended_its_runs(own: Site) -> None:
    """As after kill -9 of `millrace up`: its children are ending when it is started again."""
    run_id = own.launch("stubborn_job")
    own.wait_for_step(run_id)
    own.process.terminate()
    last, own.process = own.process, start(own.folder, own.socket_path, own.module, patience=30)
    assert last.wait(60) == 0
    await_listening(own.socket_path, own.process)
    assert own.run(run_id).is_finished
    own.wait(own.launch("hello_job"), DagsterRunStatus.SUCCESS)


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    process = start(tmp_path, tmp_path / "open" / "warm.sock", "nothing")
    assert process.wait(60) == 1
    assert "chmod go-w" in (tmp_path / "warm.log").read_text()


@in_one_worker
def test_new_code_is_seen_and_broken_code_replaces_nothing(own: Site) -> None:
    own.wait(own.launch("hello_job"), DagsterRunStatus.SUCCESS)
    pid = own.ping()["pid"]

    def runs_version_two() -> None:
        run_id = own.launch("hello_job")
        own.wait(run_id, DagsterRunStatus.SUCCESS)
        assert "version two" in own.messages(run_id)

    good = DEFINITIONS.replace("version one", "version two")
    own.code.write_text(good)
    runs_version_two()
    own.code.write_text(DEFINITIONS + "\nimport no_such_module\n")
    runs_version_two()
    runs_version_two()
    # Of another length than the last: Python tells sources by length and second, and keeps what it compiled.
    own.code.write_text(DEFINITIONS + "\nimport os\nos._exit(3)  # by itself\n")
    runs_version_two()
    own.code.write_text(DEFINITIONS + "\n# corrected")
    run_id = own.launch("hello_job")
    own.wait(run_id, DagsterRunStatus.SUCCESS)
    assert "version one" in own.messages(run_id)
    assert own.ping()["pid"] == pid


@in_one_worker
def test_broken_code_is_reported_where_nothing_was_loaded_before(fresh: Site) -> None:
    thread = "Thread(target=threading.Event().wait, name='idler', daemon=True)"
    fresh.code.write_text(f"{DEFINITIONS}\nimport threading\nthreading.{thread}.start()\n")
    with pytest.raises(protocol.WarmProcessRefused, match="idler"):
        fresh.launch("hello_job")
    fresh.code.write_text(DEFINITIONS + "\nimport no_such_module\n")

    def refused() -> tuple[str, str]:
        run_id = fresh.create("hello_job").run_id
        with pytest.raises(protocol.WarmProcessRefused) as caught:
            fresh.instance.launch_run(run_id, None)  # type: ignore[arg-type]
        return run_id, str(caught.value)

    run_id, why = refused()
    if (
        "idler" in why
    ):  # a look between the two has loaded the earlier edit again; this refusal has dropped it
        run_id, why = refused()
    assert re.search(r"cannot be loaded: ModuleNotFound.*line", why)
    assert fresh.run(run_id).status == DagsterRunStatus.FAILURE
    assert "no_such_module" in fresh.messages(run_id)
    fresh.code.write_text(DEFINITIONS + "\nimport os\nos._exit(3)  # by itself\n")
    with pytest.raises(protocol.WarmProcessRefused, match="ended by itself"):
        fresh.launch("hello_job")
    fresh.code.write_text(DEFINITIONS)
    fresh.wait(fresh.launch("hello_job"), DagsterRunStatus.SUCCESS)


def waiting_worker(site: Site, *, other_than: int | None = None) -> int:
    """Process id of the worker that is ready for a run."""
    eventually(lambda: site.ping()["waiting"] not in (None, other_than), "a worker waits")
    return int(site.ping()["waiting"])


@in_one_worker
def test_a_run_goes_to_the_worker_that_waits_for_it(fresh: Site) -> None:
    code = DEFINITIONS.replace('"version one"', 'f"version one, opened by {opened}"')
    code += "\nopened = []\ndef make_ready():\n    opened.append(os.getpid())\n"
    fresh.code.write_text(code)
    first = waiting_worker(fresh)
    run_id = fresh.launch("hello_job")
    fresh.wait(run_id, DagsterRunStatus.SUCCESS)
    assert f"version one, opened by [{first}]" in fresh.messages(run_id)

    second = waiting_worker(fresh, other_than=first)
    fresh.code.write_text(code.replace("version one", "version two"))
    third = waiting_worker(fresh, other_than=second)
    eventually(lambda: not psutil.pid_exists(second), "the one with the old code ends")
    run_id = fresh.launch("hello_job")
    fresh.wait(run_id, DagsterRunStatus.SUCCESS)
    assert f"version two, opened by [{third}]" in fresh.messages(run_id)

    os.kill(waiting_worker(fresh, other_than=third), signal.SIGKILL)
    run_id = fresh.launch("hello_job")
    fresh.wait(run_id, DagsterRunStatus.SUCCESS)
    assert "opened by []" in fresh.messages(run_id)


@in_one_worker
def test_a_worker_that_cannot_get_ready_harms_no_run(fresh: Site) -> None:
    fresh.code.write_text(DEFINITIONS + "\ndef make_ready():\n    raise OSError('no lake yet')\n")
    eventually(lambda: (fresh.folder / "runs" / "waiting.log").exists(), "one has tried")
    fresh.wait(fresh.launch("hello_job"), DagsterRunStatus.SUCCESS)
    assert fresh.ping()["waiting"] is None
    assert "no lake yet" in (fresh.folder / "runs" / "waiting.log").read_text()


@in_one_worker
@pytest.mark.parametrize(("seconds", "in_time"), [(1.0, True), (600.0, False)], ids=["soon", "never"])
def test_none_that_gets_ready_lies_idle_beside_a_run(fresh: Site, seconds: float, in_time: bool) -> None:
    noted = fresh.folder / "getting_ready"
    note = f"    print(os.getpid(), end='', file=open({str(noted)!r}, 'w'), flush=True)"
    code = DEFINITIONS.replace('"version one"', 'f"version one, by {os.getpid()}"')
    fresh.code.write_text(f"{code}\ndef make_ready():\n{note}\n    time.sleep({seconds})\n")
    eventually(lambda: noted.exists() and noted.read_text(), "one gets ready")
    first = int(noted.read_text())
    run_id = fresh.launch("hello_job")
    fresh.wait(run_id, DagsterRunStatus.SUCCESS)
    assert (f"version one, by {first}" in fresh.messages(run_id)) == in_time
    eventually(lambda: not psutil.pid_exists(first), "it is gone")
    eventually(lambda: noted.read_text() not in ("", str(first)), "another one after the run")


@in_one_worker
def test_a_run_goes_on_with_the_code_that_it_began_with(own: Site) -> None:
    running = own.launch("nap_job")
    own.wait_for_step(running)
    pid = pid_of(own, running)
    own.code.write_text(DEFINITIONS.replace("version one", "version two"))
    newer = own.launch("hello_job")
    own.wait(newer, DagsterRunStatus.SUCCESS)
    assert "version two" in own.messages(newer)
    assert own.run(running).status == DagsterRunStatus.STARTED
    assert psutil.pid_exists(pid)
    own.launcher.terminate(running)
    own.wait(running, DagsterRunStatus.CANCELED)


@in_one_worker
def test_edits_are_picked_up_between_runs(own: Site) -> None:
    own.wait(own.launch("hello_job"), DagsterRunStatus.SUCCESS)
    before = own.ping()["code"]
    own.code.write_text(DEFINITIONS.replace("version one", "version three"))
    eventually(lambda: own.ping()["code"] not in (before, None), "a template with the new code")


@in_one_worker
def test_when_it_is_killed_its_runs_end_and_the_error_says_what_to_do(own: Site) -> None:
    run_id = own.launch("nap_job")
    own.wait_for_step(run_id)
    worker = psutil.Process(pid_of(own, run_id))
    own.process.send_signal(signal.SIGKILL)
    own.process.wait(60)
    eventually(lambda: not worker.is_running(), "the worker ended")
    assert own.run(run_id).is_finished
    health = own.launcher.check_run_worker_health(own.run(run_id))
    assert health.status == WorkerStatus.FAILED
    with pytest.raises(protocol.WarmProcessAway, match=r"does not answer on .*: start it with `millrace up`"):
        own.launch("hello_job")

    own.process = start(own.folder, own.socket_path, own.module)  # the left-over socket file does not matter
    await_listening(own.socket_path, own.process)
    own.wait(own.launch("hello_job"), DagsterRunStatus.SUCCESS)


@in_one_worker
def test_a_polite_end_takes_the_runs_along(own: Site) -> None:
    run_ids = [own.launch("nap_job"), own.launch("stubborn_job")]
    for run_id in run_ids:
        own.wait_for_step(run_id)
    own.process.terminate()
    assert own.process.wait(60) == 0
    assert [own.run(run_id).is_finished for run_id in run_ids] == [True, True]
    assert not own.socket_path.exists()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "location.py").write_text(DEFINITIONS)
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.orchestration.test_launcher import await_listening, start\n"
        "folder = Path(sys.argv[1]); socket_path = folder / 'run' / 'warm.sock'\n"
        "process = start(folder, socket_path, 'location'); await_listening(socket_path, process)\n"
        "print(process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        warm = psutil.Process(int(parent.stdout.readline()))
        family = [warm, *warm.children(recursive=True)]
        parent.kill()
        eventually(lambda: not any(process.is_running() for process in family), "the end of the family")
