"""The code server: new code takes over at one address, and code that cannot be loaded takes nothing away."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dagster._grpc.client import DagsterGrpcClient

from ingestion.errors import StorageError
from orchestration.services.process import ChildProcess, ProcessSpec, wait_until
from orchestration.system.code_server import CodeServer
from orchestration.system.services import listens
from tests.orchestration.test_processes import sleeper

MODULE = "tiny_definitions"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CodeServer]:
    """Our code server over a module in the folder."""

    def process(socket: Path) -> ChildProcess:
        return ChildProcess(
            ProcessSpec(
                name="code-server",
                argv=(
                    sys.executable, "-m", "orchestration.code_server", "--socket", str(socket),
                    "--module-name", MODULE, "--working-directory", str(tmp_path), "--lazy-load-user-code",
                ),
                log_folder=tmp_path / "logs", ready=lambda: listens(socket), ready_timeout_s=60, cwd=tmp_path,
            )
        )  # fmt: skip

    server = CodeServer("code-server", address=tmp_path / "code.sock", process=process)
    yield server
    server.stop()


def write(folder: Path, code: str) -> None:
    (folder / f"{MODULE}.py").write_text("from dagster import Definitions\n" + code)


def told(folder: Path) -> str:
    """What a client that knows the address reads: the definitions' names, or the error in their place."""
    return DagsterGrpcClient(socket=str(folder / "code.sock")).list_repositories()


def settled(server: CodeServer, *, before: int | None, now_s: float = 0.0) -> bool:
    """Whether the next process has come into the place of `before`, or a complaint."""
    server.settle(now_s)
    return bool(server.complaint) or server.pid != before


def test_new_code_is_served_at_the_old_address(server: CodeServer, tmp_path: Path) -> None:
    write(tmp_path, "first = Definitions()\n")
    server.start()
    old = server.pid
    assert old is not None
    assert "first" in told(tmp_path)

    write(tmp_path, "second = Definitions()\n")
    server.renew()
    assert "first" in told(tmp_path), "the old code serves until the new is loaded"
    assert wait_until(lambda: settled(server, before=old), timeout_s=60)
    assert "second" in told(tmp_path)
    assert Path(f"/proc/{old}").exists(), "a call may still be under way to the old one"
    server.settle(1_000.0)
    assert not Path(f"/proc/{old}").exists()
    assert "second" in told(tmp_path)


def test_code_that_does_not_load_is_shown_and_code_that_ends_the_process_changes_nothing(
    server: CodeServer, tmp_path: Path
) -> None:
    write(tmp_path, "first = Definitions()\nraise ValueError('half written')\n")
    server.start()
    assert "half written" in told(tmp_path)

    write(tmp_path, "first = Definitions()\n")
    before = server.pid
    server.renew()
    assert wait_until(lambda: settled(server, before=before), timeout_s=60)

    write(tmp_path, "import os\nos._exit(3)\n")
    before = server.pid
    server.renew()
    assert wait_until(lambda: settled(server, before=before), timeout_s=60)
    assert "the old code stays in use" in server.complaint
    assert server.pid == before
    assert "first" in told(tmp_path)


def test_what_parsing_took_is_given_back(server: CodeServer, tmp_path: Path) -> None:
    """As the definitions do, which parse where nobody has parsed yet."""
    write(
        tmp_path,
        "from pathlib import Path\n"
        "first = Definitions()\n"
        "if not Path('parsed').exists():\n"
        "    import dbt.cli.main\n"
        "    import dbt_extractor\n"
        "    import multiprocessing\n"
        "    lock = multiprocessing.get_context('spawn').RLock()\n"  # as dbt's adapter has it
        "    Path('parsed').touch()\n",
    )
    server.start()
    assert server.pid is not None
    assert "first" in told(tmp_path)
    assert (tmp_path / "parsed").exists()
    libraries = [region.path for region in psutil.Process(server.pid).memory_maps()]
    assert any("grpc" in path for path in libraries)
    assert not any("dbt_extractor" in path for path in libraries)
    assert not [child for child in psutil.Process(server.pid).children() if child.status() == "zombie"]


def test_an_address_that_cannot_be_moved_keeps_the_old_server_until_it_can(tmp_path: Path) -> None:
    server = CodeServer("code-server", address=tmp_path / "code.sock", process=lambda _: sleeper(tmp_path))
    try:
        server.start()
        before = server.pid
        in_the_way = tmp_path / "code.next"
        in_the_way.mkdir()
        server.renew()
        for now_s in (0.0, 100.0):
            with pytest.raises(StorageError, match=r"code\.sock cannot be moved"):
                server.settle(now_s)
        assert (server.pid, server.is_running()) == (before, True)
        in_the_way.rmdir()
        server.settle(102.0)
        assert server.pid not in (before, None)
        server.settle(1_000.0)
        assert not psutil.pid_exists(before)
    finally:
        server.stop()


def test_a_server_that_died_is_started_again_at_its_address(server: CodeServer, tmp_path: Path) -> None:
    write(tmp_path, "first = Definitions()\n")
    server.start()
    dead = server.pid
    assert dead is not None
    psutil.Process(dead).kill()
    assert wait_until(lambda: not server.is_running(), timeout_s=60)
    server.start()
    assert server.pid != dead
    assert "first" in told(tmp_path)
    assert [path.name for path in tmp_path.glob("code-*.sock")] == ["code-2.sock"], "no socket is left behind"
