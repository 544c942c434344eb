"""The suite's own machinery: order, the reason of a slow test, servers that end with their run."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.children import PROJECT
from tests.waiting import eventually

ORDER = """
import pytest
@pytest.mark.parametrize("number", range(9))
def test_any(number): print("ran", number)
@pytest.mark.early
def test_long(): print("ran long")
"""


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        PROJECT / "pyproject.toml",
        "-s",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(
        [*command, *options, folder / "test_it.py"], capture_output=True, text=True, cwd=PROJECT
    )


def order(folder: Path, *options: str) -> list[str]:
    told = run(folder, ORDER, *options).stdout
    return [line.rpartition("ran ")[2] for line in told.splitlines() if "ran " in line]


def test_a_seed_repeats_its_order_and_long_tests_begin(tmp_path: Path) -> None:
    first = order(tmp_path, "--order-seed", "7")
    assert first == order(tmp_path, "--order-seed", "7")
    assert first != order(tmp_path, "--order-seed", "8")
    assert first[0] == "long"
    assert order(tmp_path, "--order-seed", "0") == [*map(str, range(9)), "long"]


@pytest.mark.parametrize(("mark", "refused"), [("slow", True), ("slow('')", True), ("slow('why')", False)])
def test_a_slow_test_says_why(tmp_path: Path, mark: str, refused: bool) -> None:
    done = run(tmp_path, f"import pytest\n@pytest.mark.{mark}\ndef test_it(): pass\n", "-m", "slow")
    assert ("mark it slow with the reason" in done.stdout + done.stderr) == refused
    assert (done.returncode == 0) != refused


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


def ask(address: Path, kind: str) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        connection.sendall(kind.encode() + b"\n")
        answer: dict[str, str] = json.loads(connection.makefile().readline())
    return answer
