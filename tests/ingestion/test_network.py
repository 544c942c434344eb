"""PostgreSQL elsewhere: limits on every connection for a dead network; a pooler where locks do not hold."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from ingestion.errors import ConfigError
from ingestion.lake.catalog import connect_catalog, lock_session, writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.limits import NETWORK_LIMITS, limited
from ingestion.settings import Settings, load_settings
from orchestration.records.reader import DagsterRecords
from orchestration.records.storage import PooledPostgresStorage
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.system.instance import dagster_environment
from tests.conftest import there
from tests.repository import REPOSITORY
from tests.servers.forwarder import Forwarder
from tests.servers.pgbouncer import PgBouncer


@pytest.fixture
def forwarder(postgres: EmbeddedPostgres) -> Iterator[Forwarder]:
    folder = Path(parse_dsn(postgres.libpq("lake"))["host"])
    forwarder = Forwarder(next(path for path in folder.glob(".s.PGSQL.*") if path.suffix != ".lock"))
    yield forwarder
    forwarder.close()


@pytest.fixture
def password(postgres: EmbeddedPostgres) -> str:
    return postgres.folder.passfile.read_text().strip().rpartition(":")[2]


@pytest.fixture
def remote(tmp_path: Path, new_database: Callable[[], str], forwarder: Forwarder, password: str) -> Settings:
    """A lake whose catalog is reached over TCP."""
    there = parse_dsn(new_database())
    url = f"postgresql://{there['user']}:{password}@127.0.0.1:{forwarder.port}/{there['dbname']}"
    return load_settings(data_dir=tmp_path / "data", catalog=url)


def limits_of_sockets(port: int) -> set[tuple[int, ...]]:
    """Of each TCP connection of this process to a port: keepalive, its three times, user time-out."""
    options = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )
    found = set()
    for each in psutil.Process().net_connections("tcp"):
        if each.raddr and each.raddr.port == port and each.fd >= 0:
            with socket.socket(fileno=os.dup(each.fd)) as one:
                found.add(tuple(one.getsockopt(level, name) for level, name in options))
    return found


def test_every_connection_notices_a_dead_network(remote: Settings, forwarder: Forwarder) -> None:
    """The sockets themselves are asked: those of DuckDB's own libpq too."""

    def opened(open_it: Callable[[], object]) -> set[tuple[int, ...]]:
        kept.append(open_it())
        return limits_of_sockets(forwarder.port)

    kept: list[object] = []
    expected = {(1, 10, 5, 3, 25_000)}
    assert limits_of_sockets(forwarder.port) == set()
    assert opened(lambda: connect_catalog(remote, application_name="x")) == expected
    lake = Lake(remote)
    assert opened(lambda: lake.query("select 1")) == expected
    lake.close()
    url = dagster_environment(remote)["MILLRACE_DAGSTER_STORAGE"]
    storage = PooledPostgresStorage(url)
    assert opened(storage.run_storage.get_daemon_heartbeats) == expected
    records = DagsterRecords(remote)
    kept.append(records.query("select 1"))
    assert {limits[:4] for limits in limits_of_sockets(forwarder.port)} == {(1, 10, 5, 3)}
    records.close()
    for each in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        each.dispose()
    assert limits_of_sockets(forwarder.port) == expected, "one guard is open"


def test_the_server_notices_too_that_who_holds_a_lock_is_gone(settings: Settings) -> None:
    """The session's settings: over the Unix socket of this server they have no effect."""
    with (
        closing(lock_session(settings, application_name="x")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("select name from pg_settings where name like 'tcp\\_%' and source = 'session'")
        assert {name for (name,) in cursor.fetchall()} == {
            "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout",
        }  # fmt: skip


@pytest.mark.parametrize(
    "address",
    ["postgresql:///lake", "postgresql://me@there:5432/lake?sslmode=require", "host=there dbname=lake"],
)
def test_an_address_keeps_what_it_says(address: str) -> None:
    assert parse_dsn(limited(address)) == {**NETWORK_LIMITS, **parse_dsn(address)}
    own = f"{address}{'&' if '?' in address else '?' if '://' in address else ' '}connect_timeout=60"
    assert parse_dsn(limited(own)) == {**NETWORK_LIMITS, **parse_dsn(address), "connect_timeout": "60"}


@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
def test_a_pooler_that_shares_sessions_is_refused(
    mode: str, tmp_path: Path, remote: Settings, forwarder: Forwarder, password: str
) -> None:
    assert remote.catalog is not None
    server = parse_dsn(remote.catalog.get_secret_value())
    keywords = make_dsn(**{name: server[name] for name in ("host", "port", "user", "password", "dbname")})
    pooler = there(lambda: PgBouncer(tmp_path / "pgbouncer", keywords, mode=mode))
    pooler.start()
    try:
        pooled = remote.replaced(
            catalog=load_settings(catalog=f"postgresql://me@127.0.0.1:{pooler.port}/lake").catalog
        )
        if mode == "session":
            lock_session(pooled, application_name="x").close()
            return
        with pytest.raises(ConfigError, match="pool_mode transaction or statement"):
            Lake(pooled).prepare(["orders"])
        with (
            pytest.raises(ConfigError, match="locks do not hold"),
            writer_lock(pooled, "orders", application_name="x"),
        ):
            pass
    finally:
        pooler.stop()


@pytest.mark.slow("packets are lost until the limits of the connections are over, half a minute")
def test_a_network_that_loses_every_packet_is_noticed(
    postgres: EmbeddedPostgres, new_database: Callable[[], str], password: str, tmp_path: Path
) -> None:
    """Real packets, dropped by the kernel in a network namespace: no answer, no reset, no end."""
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    tried = ["sh", "-c", "ip link set lo up && tc qdisc add dev lo root blackhole"]
    if shutil.which("tc") is None or subprocess.run([*alone, *tried], check=False).returncode:
        pytest.skip("this machine lets nobody make a network that loses packets")
    url = parse_dsn(new_database())
    with Lake(load_settings(data_dir=tmp_path / "data", catalog=make_dsn(**url))) as lake:
        lake.prepare([])
    folder = Path(parse_dsn(postgres.libpq("lake"))["host"])
    server = next(path for path in folder.glob(".s.PGSQL.*") if path.suffix != ".lock")
    remote = f"postgresql://{url['user']}:{password}@127.0.0.1:PORT/{url['dbname']}"
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.ingestion.dropping", server, remote, tmp_path / "data"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(found["errors"].values()), f"a question was answered over a dead network: {found}"
    assert "cannot be reached" in found["new"]
    assert found["again"] >= 0
