"""The embedded PostgreSQL: who may reach it, where it may live, and how it survives its parent."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from orchestration.services.launch import Account, launch_prefix, setpriv
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.postgres_cluster import postgres_binaries
from orchestration.services.process import ServiceError, is_alive
from tests.children import PROJECT, python

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the user a server runs as")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals exist on Linux only")


def query(server: EmbeddedPostgres, sql: str, *, database: str = "lake") -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.libpq(database))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("shared") / "postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres")
    yield server
    server.stop()


def test_both_address_forms_reach_the_database(postgres: EmbeddedPostgres) -> None:
    for address in (postgres.dsn("lake"), postgres.libpq("lake")):
        with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user, current_database(), current_setting('data_checksums')")
            assert cursor.fetchone() == ("millrace", "lake", "on")


def test_a_connection_without_the_password_is_refused(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    address = postgres.libpq("lake").replace(str(postgres.folder.passfile), str(tmp_path / "none"))
    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(address)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(f"{address} password=wrong")


def test_nobody_logs_in_as_superuser(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(f"{postgres.libpq('lake')} user=postgres password=x")
    assert query(postgres, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]


def test_postgres_listens_on_no_tcp_port(postgres: EmbeddedPostgres) -> None:
    assert postgres.pid is not None
    family = [psutil.Process(postgres.pid), *psutil.Process(postgres.pid).children(recursive=True)]
    listening = []
    for process in family:
        with suppress(psutil.NoSuchProcess):  # an autovacuum worker comes and goes
            listening += process.net_connections("inet")
    assert listening == []


def test_everything_private_is_private(postgres: EmbeddedPostgres) -> None:
    folder = postgres.folder
    modes = {
        path: stat.S_IMODE(path.stat().st_mode) for path in folder.root.rglob("*") if not path.is_symlink()
    }
    assert {mode & 0o007 for mode in modes.values()} == {0}
    assert stat.S_IMODE(folder.root.stat().st_mode) in (0o700, 0o710)
    for path in (folder.data, folder.socket_folder, folder.passfile.parent):
        assert modes[path] == 0o700
    assert modes[folder.passfile] == 0o600


@as_root
def test_the_server_is_not_root_and_may_only_read(postgres: EmbeddedPostgres) -> None:
    assert postgres.pid is not None
    assert 0 not in psutil.Process(postgres.pid).uids()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{postgres.pid}/status").read_text().splitlines()
    )
    # Nothing, or CAP_DAC_READ_SEARCH (bit 2) below a private folder of root.
    assert int(status["CapEff"], 16) in (0, 1 << 2)
    assert int(status["CapBnd"], 16) in (0, 1 << 2)
    assert status["NoNewPrivs"] == "1"


def test_no_folder_above_is_changed(tmp_path: Path) -> None:
    parent = tmp_path / "closed"
    parent.mkdir(mode=0o700)
    above = [parent, *parent.parents]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    server = EmbeddedPostgres(parent / "deeper" / "postgres")
    try:
        server.start()
        assert query(server, "SELECT 1") == [(1,)]
    finally:
        server.stop()
    assert [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above] == before


@as_root
def test_programs_below_a_private_folder_work_too(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = postgres_binaries()
    package = installed.parents[1]
    for name in ("bin", "lib", "share"):
        for source in (installed.parent / name).rglob("*"):
            if source.is_file() and (name != "bin" or source.name in ("initdb", "postgres")):
                copy = closed / package.name / installed.parent.name / source.relative_to(installed.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    binaries = closed / package.name / installed.parent.name / "bin"
    server = EmbeddedPostgres(closed / "postgres", binaries=binaries)
    try:
        server.start()
        assert query(server, "SELECT 1") == [(1,)]
    finally:
        server.stop()


@as_root
@pytest.mark.skipif(setpriv() is None, reason="needs setpriv to give a right away")
def test_an_unreachable_folder_names_the_setting(tmp_path: Path) -> None:
    """Root in a container often lacks the right to pass it on: then only another folder helps."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from orchestration.services.postgres import EmbeddedPostgres\n"
        "from orchestration.services.process import ServiceError\n"
        "try: EmbeddedPostgres(Path(sys.argv[1])).start()\n"
        "except ServiceError as error: print(error)\n"
    )
    command = [
        setpriv(),
        "--bounding-set=-dac_read_search",
        "--",
        sys.executable,
        "-c",
        code,
        closed / "postgres",
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert "cannot reach" in done.stdout, done.stderr
    assert "MILLRACE_DATA_DIR" in done.stdout
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_path_too_long_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedPostgres(tmp_path / ("long-" * 20) / "postgres")
    try:
        server.start()
        socket_folder = server.folder.socket_folder
        assert socket_folder.parent == Path(tempfile.gettempdir())
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
        # Another process may have another temp folder: it still finds the server.
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        other = EmbeddedPostgres(server.folder.root)
        other.start()
        assert other.adopted
        assert query(other, "SELECT 1") == [(1,)]
    finally:
        server.stop()
        shutil.rmtree(server.folder.socket_folder, ignore_errors=True)


def test_restart_keeps_data_and_password_and_adds_databases(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.start()
    query(own_postgres, "CREATE TABLE kept AS SELECT 7 AS a")
    password = own_postgres.folder.passfile.read_text()
    own_postgres.stop()
    assert not own_postgres.is_running()
    again = EmbeddedPostgres(own_postgres.folder.root, databases=("lake", "more"))
    again.start()
    assert not again.adopted
    assert query(again, "SELECT a FROM kept") == [(7,)]
    assert query(again, "SELECT current_database()", database="more") == [("more",)]
    assert again.folder.passfile.read_text() == password


def test_a_lost_password_file_gets_a_new_password(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.start()
    query(own_postgres, "CREATE TABLE kept AS SELECT 7 AS a")
    passfile = own_postgres.folder.passfile
    password = passfile.read_text()
    passfile.unlink()
    with pytest.raises(ServiceError, match="password file"):
        own_postgres.start()
    own_postgres.stop()
    own_postgres.start()
    assert passfile.read_text() != password
    assert query(own_postgres, "SELECT a FROM kept") == [(7,)]


_START_AND_WAIT = """
import sys, time
from pathlib import Path
from orchestration.services.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), die_with_parent=sys.argv[2] == "True")
server.start()
print(server.pid, server.adopted, flush=True)
time.sleep(300)
"""


def test_the_orphan_of_a_killed_parent_is_adopted(own_postgres: EmbeddedPostgres) -> None:
    parent = python(_START_AND_WAIT, own_postgres.folder.root, False)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    parent.kill()
    parent.wait()
    own_postgres.start()
    assert own_postgres.adopted
    assert own_postgres.pid == pid
    own_postgres.stop()
    assert not psutil.pid_exists(pid) or not is_alive(psutil.Process(pid))


@on_linux
def test_postgres_ends_with_its_parent_and_starts_again(own_postgres: EmbeddedPostgres) -> None:
    parent = python(_START_AND_WAIT, own_postgres.folder.root, True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    parent.kill()
    parent.wait()
    # At once, while the old server may still be shutting down.
    own_postgres.start()
    assert own_postgres.pid != pid
    assert query(own_postgres, "SELECT 1") == [(1,)]


def test_a_killed_server_leaves_nothing_in_the_way(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.start()
    query(own_postgres, "CREATE TABLE kept AS SELECT 7 AS a")
    assert own_postgres.pid is not None
    os.kill(own_postgres.pid, signal.SIGKILL)
    own_postgres.start()
    assert query(own_postgres, "SELECT a FROM kept") == [(7,)]


def test_a_pid_that_went_to_another_program_does_not_block(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.start()
    own_postgres.stop()
    data = own_postgres.folder.data
    # PostgreSQL itself only minds a process of the user it runs as.
    owner = Account(data.stat().st_uid, data.stat().st_gid) if os.geteuid() == 0 else None
    other = subprocess.Popen([*launch_prefix(account=owner, death_signal=None), "/bin/sleep", "300"])
    try:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n0\n5432\n\n\n0 0\nready\n")
        assert not own_postgres.is_running()
        own_postgres.start()
        assert query(own_postgres, "SELECT 1") == [(1,)]
    finally:
        other.kill()
        other.wait()


def test_two_starts_at_once_make_one_server(own_postgres: EmbeddedPostgres) -> None:
    starters = [python(_START_AND_WAIT, own_postgres.folder.root, False) for _ in range(2)]
    try:
        lines = [starter.stdout.readline().split() for starter in starters if starter.stdout is not None]
        assert len({pid for pid, _ in lines}) == 1
        assert sorted(adopted for _, adopted in lines) == ["False", "True"]
        own_postgres.start()
        assert own_postgres.pid == int(lines[0][0])
    finally:
        for starter in starters:
            starter.kill()
            starter.wait()


def test_data_of_another_major_version_is_refused(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.start()
    own_postgres.stop()
    (own_postgres.folder.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(ServiceError, match=r"PostgreSQL 15 wrote .* this Millrace brings 18: .*pg_dump"):
        own_postgres.start()


def test_a_start_that_fails_is_quoted_and_not_an_earlier_run(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.start()
    own_postgres.stop()
    (own_postgres.folder.data / "global" / "pg_control").unlink()
    with pytest.raises(ServiceError, match="could not find the database system") as failure:
        own_postgres.start()
    assert "fast shutdown" not in str(failure.value)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    before = tmp_path.stat().st_mode
    with pytest.raises(ServiceError, match="MILLRACE_DATA_DIR"):
        EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert tmp_path.stat().st_mode == before


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match=r"Cannot write to .*MILLRACE_DATA_DIR"):
        EmbeddedPostgres(tmp_path / "file" / "postgres").start()


@as_root
def test_a_full_disk_says_so_and_leaves_no_half_cluster(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", small], capture_output=True
    ).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    server = EmbeddedPostgres(small / "postgres")
    try:
        with pytest.raises(ServiceError, match="full: free some space"):
            server.start()
        assert not server.folder.data.exists()
        assert not (server.folder.root / "data.new").exists()
    finally:
        subprocess.run(["umount", small], check=True)


def test_no_password_in_any_log(postgres: EmbeddedPostgres) -> None:
    password = postgres.folder.passfile.read_text().strip().rsplit(":", 1)[1]
    logs = [*(postgres.folder.root / "log").iterdir(), *(postgres.folder.data / "log").iterdir()]
    assert len(logs) >= 2
    assert not any(password in log.read_text() for log in logs)
    assert password not in postgres.dsn("lake") + postgres.libpq("lake")
