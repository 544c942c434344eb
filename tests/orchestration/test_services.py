"""The embedded services and the test servers, as real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
import psycopg2
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from ingestion.collector import status_file
from ingestion.settings import load_settings
from ingestion.streams import load_streams
from orchestration.services.kafka import EmbeddedKafka
from orchestration.services.launch import Account, launch_prefix, setpriv
from orchestration.services.mqtt import EmbeddedMqtt
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.postgres_cluster import postgres_binaries
from orchestration.services.process import ChildProcess, ProcessSpec, ServiceError, is_alive, wait_until
from orchestration.services.supervisor import Supervisor
from orchestration.system.running import System
from tests.servers import ServerMissing
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto

PROJECT = Path(__file__).parents[2]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the user a server runs as")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals exist on Linux only")


def query(server: EmbeddedPostgres, sql: str, *, database: str = "lake") -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.libpq(database))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that runs a few lines of Python in the project."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


# --- PostgreSQL ---------------------------------------------------------------------------------------------


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


# --- child processes ----------------------------------------------------------------------------------------


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
    assert wait_until(lambda: not is_alive(child), timeout_s=5)


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
            assert wait_until(lambda process=process: not is_alive(process), timeout_s=5)
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


def test_the_supervisor_leaves_nothing_behind_when_one_fails(tmp_path: Path) -> None:
    first = sleeper(tmp_path, name="first")
    second = ChildProcess(ProcessSpec(name="second", argv=("/no/such/program",), log_folder=tmp_path))
    with pytest.raises(ServiceError, match="second"):
        Supervisor([first, second]).start()
    assert not first.is_running()


# --- brokers ------------------------------------------------------------------------------------------------


def round_trip(bootstrap_servers: str, topic: str, **security: str) -> list[bytes]:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, **security)
    for number in range(10):
        producer.send(topic, str(number).encode(), partition=0)
    producer.flush()
    producer.close()
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **security,
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    values: list[bytes] = []

    def complete() -> bool:
        values.extend(record.value for records in consumer.poll(200).values() for record in records)
        return len(values) >= consumer.end_offsets([partition])[partition]

    assert wait_until(complete, timeout_s=20)
    consumer.close()
    return values


TEN = [str(number).encode() for number in range(10)]


def test_embedded_kafka_carries_messages_and_restarts_on_its_port(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path)
    broker.start()
    try:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        admin.create_topics([NewTopic("orders", num_partitions=1, replication_factor=1)])
        admin.close()
        assert round_trip(broker.bootstrap_servers, "orders") == TEN
        port = broker.port
        broker.stop()
        broker.start()
        assert broker.port == port
    finally:
        broker.stop()


@pytest.mark.parametrize("service", [EmbeddedKafka, EmbeddedMqtt])
def test_a_taken_port_is_named(tmp_path: Path, service: type[EmbeddedKafka] | type[EmbeddedMqtt]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=f"127.0.0.1:{port} .* configure another one"):
            service(tmp_path, port=port).start()


class Client:
    """A paho client of MQTT 3.1.1 that collects what it receives."""

    def __init__(
        self, port: int, name: str, *, clean: bool = True, user: str = "", password: str = ""
    ) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, protocol=paho.MQTTv311
        )
        if user:
            self.paho.username_pw_set(user, password)
        self.paho.on_message = lambda client, data, message: self.messages.append(
            (message.topic, message.payload)
        )
        self.paho.on_subscribe = lambda *_: self._subscribed.set()
        answers: list[str] = []
        self.paho.on_connect = lambda client, data, flags, reason, properties: answers.append(str(reason))
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        assert wait_until(lambda: bool(answers), timeout_s=10)
        if answers[0] != "Success":
            self.paho.loop_stop()
            raise ConnectionRefusedError(answers[0])

    def subscribe(self, pattern: str) -> None:
        self.paho.subscribe(pattern, qos=1)
        assert self._subscribed.wait(10)

    def publish(self, topic: str, payload: bytes) -> None:
        self.paho.publish(topic, payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


def check_mqtt(port: int, between: Callable[[], None] = lambda: None, **login: str) -> None:
    """QoS 1, a wildcard, and a persistent session that gets what came while its client was away."""
    expected = [("plant/a/temp", b"1"), ("plant/b/temp", b"2")]
    publisher = Client(port, "publisher", **login)
    client = Client(port, "reader", clean=False, **login)
    client.subscribe("plant/+/temp")
    publisher.publish("plant/a/temp", b"1")
    publisher.publish("plant/a/humidity", b"0")
    publisher.publish("plant/b/temp", b"2")
    assert wait_until(lambda: client.messages == expected, timeout_s=10), client.messages
    client.close()
    publisher.publish("plant/c/temp", b"3")
    publisher.close()
    between()
    again = Client(port, "reader", clean=False, **login)
    assert wait_until(lambda: again.messages == [("plant/c/temp", b"3")], timeout_s=10), again.messages
    again.close()


def test_embedded_mqtt_keeps_a_persistent_session(tmp_path: Path) -> None:
    broker = EmbeddedMqtt(tmp_path)
    broker.start()
    try:
        check_mqtt(broker.port)
        assert (tmp_path / "log" / "mqtt.log").read_text() == ""
        assert broker.pid is not None
        connections = psutil.Process(broker.pid).net_connections("inet")
        assert {connection.laddr.ip for connection in connections if connection.status == "LISTEN"} == {
            "127.0.0.1"
        }
    finally:
        broker.stop()


@pytest.mark.mosquitto
def test_mosquitto_keeps_queued_messages_over_a_crash(tmp_path: Path) -> None:
    try:
        broker = Mosquitto(tmp_path, persistence=True, users={"plant": "s3cret"})
    except ServerMissing as reason:
        pytest.skip(str(reason))
    broker.start()

    def crash() -> None:
        broker.save()
        broker.kill()
        broker.start()

    try:
        with pytest.raises(ConnectionRefusedError, match="Not authorized"):
            Client(broker.port, "stranger")
        check_mqtt(broker.port, crash, user="plant", password="s3cret")
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def apache_kafka(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[ApacheKafka]:
    cache = pytestconfig.rootpath / ".pytest_cache"
    try:
        server = ApacheKafka(tmp_path_factory.mktemp("kafka"), cache=cache, sasl_users={"alice": "s3cret"})
    except ServerMissing as reason:
        pytest.skip(str(reason))
    server.start()
    yield server
    server.stop()


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_apache_kafka_authenticates(apache_kafka: ApacheKafka, mechanism: str) -> None:
    topic = f"login-{mechanism.lower()}"
    apache_kafka.create_topic(topic)
    security = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "alice",
        "sasl_plain_password": "s3cret",
    }
    assert round_trip(apache_kafka.sasl_bootstrap_servers, topic, **security) == TEN


@pytest.mark.kafka
def test_apache_kafka_keeps_messages_over_a_crash(apache_kafka: ApacheKafka) -> None:
    apache_kafka.create_topic("orders", partitions=2, config={"cleanup.policy": "delete"})
    assert round_trip(apache_kafka.bootstrap_servers, "orders") == TEN
    apache_kafka.kill()
    apache_kafka.start()
    assert round_trip(apache_kafka.bootstrap_servers, "orders") == TEN * 2
    apache_kafka.delete_topic("orders")
    apache_kafka.create_topic("orders")
    assert round_trip(apache_kafka.bootstrap_servers, "orders") == TEN


def test_the_collector_comes_with_the_first_mqtt_stream_and_goes_with_the_last(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "streams.yml"
    kafka, mqtt = "orders: {source: {kafka: orders}}\n", "readings: {source: {mqtt: plant/#}}\n"
    file.write_text(kafka)
    for name, value in {"streams_file": file, "data_dir": tmp_path, "mqtt_host": mosquitto.host}.items():
        monkeypatch.setenv(f"MILLRACE_{name.upper()}", str(value))
    monkeypatch.setenv("MILLRACE_MQTT_PORT", str(mosquitto.port))
    monkeypatch.setenv("MILLRACE_CATALOG", "postgresql://nobody@127.0.0.1:1/not_needed_to_collect")
    system = System(load_settings(), mode="up", ui=False, progress=print)

    def collectors_after(content: str) -> list[bool]:
        file.write_text(content)
        system.streams = load_streams(file)
        system.renew_collector()
        return [row.running for row in system.check(0.0) if row.name == "collector"]

    try:
        assert collectors_after(kafka) == []
        assert collectors_after(kafka + mqtt) == [False]  # the supervisor starts it within a second
        system.check(2.0)
        assert wait_until(lambda: "readings" in _status(tmp_path).get("positions", {}), timeout_s=60)
        assert collectors_after(kafka) == []
        assert not psutil.pid_exists(_status(tmp_path)["pid"])
    finally:
        system.stop()


def _status(data_dir: Path) -> dict[str, Any]:
    with suppress(OSError):
        return json.loads(status_file(data_dir).read_text())
    return {}
