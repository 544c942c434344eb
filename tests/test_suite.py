"""The suite's own machinery: order, the reason of a slow test, servers that end with their run."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests import suite
from tests.children import PROJECT
from tests.stuck import GRACE
from tests.suite import arranged, in_memory, refuse_slow_without_reason
from tests.waiting import eventually


@dataclass(frozen=True)
class Item:
    """As much of a pytest.Item as the order looks at."""

    path: str
    number: int
    marks: tuple[pytest.Mark, ...] = ()

    @property
    def nodeid(self) -> str:
        return f"{self.path}::{self.number}"

    def iter_markers(self, name: str | None = None) -> Iterator[pytest.Mark]:
        return (mark for mark in self.marks if name in (None, mark.name))


def test_a_seed_repeats_its_order_file_by_file_and_long_tests_begin() -> None:
    long = Item("c", 0, (pytest.mark.early.mark,))
    items = [Item(path, number) for path in "ab" for number in range(9)] + [long]
    order = arranged(items, 7)
    assert order == arranged(items, 7)
    assert order != arranged(items, 8)
    assert sorted(order, key=items.index) == items
    assert order[0] == long
    assert len({item.path for item in order[1:10]}) == 1
    assert arranged(items, 0) == items


@pytest.mark.parametrize("reason", [(), ("",), (3,)])
def test_a_slow_test_says_why(reason: tuple[object, ...]) -> None:
    refuse_slow_without_reason([Item("a", 1, (pytest.mark.slow("a minute of waiting").mark,)), Item("a", 2)])
    with pytest.raises(pytest.UsageError, match="a::1: mark it slow with the reason"):
        refuse_slow_without_reason([Item("a", 1, (pytest.mark.slow(*reason).mark,))])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_servers_of_a_run_end_with_it_however_it_ends(tmp_path: Path, how: signal.Signals) -> None:
    address = tmp_path / "socket"
    keeper = [sys.executable, "-m", "tests.servers.keeper", *map(str, (address, tmp_path, tmp_path))]
    code = (
        "import subprocess, sys, time\n"
        "keeper = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "print(keeper.pid, flush=True)\n"
        "time.sleep(300)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, *keeper], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert run.stdout is not None
        kept = psutil.Process(int(run.stdout.readline()))
        eventually(address.exists, "the keeper listens")
        folder = ask(address, "postgres")["folder"]
        assert ask(address, "postgres")["folder"] == folder
        server = psutil.Process(int((Path(folder) / "data" / "postmaster.pid").read_text().split()[0]))
        assert server.is_running()
    finally:
        run.send_signal(how)
        run.wait()
    eventually(lambda: not (kept.is_running() or server.is_running()), "both are gone")


def test_files_go_to_memory_only_where_there_is_much_and_nobody_names_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "IN_MEMORY_BYTES", 0)
    assert in_memory({}, root=tmp_path) == tmp_path
    assert in_memory({"TMPDIR": "/var/tmp"}, root=tmp_path) is None
    assert in_memory({}, root=tmp_path / "none") is None
    monkeypatch.setattr(suite, "IN_MEMORY_BYTES", 2**62)
    assert in_memory({}, root=tmp_path) is None


@pytest.mark.parametrize(("tests", "workers"), [(1, 1), (40, 2)])
def test_a_test_stuck_where_no_signal_reaches_says_where_and_the_others_run(
    tmp_path: Path, tests: int, workers: int
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import signal, time\n"
        "import pytest\n"
        f"@pytest.mark.parametrize('number', range({tests}))\n"
        "def test_some(number): ...\n"
        "@pytest.mark.early\n"
        "def test_stuck():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n"
        "    time.sleep(100)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    del environment[suite.ADDRESS]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", str(workers), "-p", "tests.suite", "-p", "tests.stuck", "-p",
         "no:cacheprovider", "--timeout", "5", "--rootdir", tmp_path, "-c", os.devnull, tmp_path],
        cwd=PROJECT, env={**environment, GRACE: "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert f"1 failed, {tests} passed" in run.stdout
    assert "crashed while running 'test_it.py::test_stuck'" in run.stdout
    assert "in test_stuck" in run.stderr


def ask(address: Path, kind: str) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        connection.sendall(kind.encode() + b"\n")
        answer: dict[str, str] = json.loads(connection.makefile().readline())
    return answer
