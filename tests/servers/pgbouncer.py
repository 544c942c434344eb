"""A real PgBouncer (Debian's package) in front of a PostgreSQL, for one test."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from orchestration.services.launch import Account
from orchestration.services.process import ChildProcess, ProcessSpec, accepts_tcp
from tests.servers import ServerMissing
from tests.servers.ports import free_ports


class PgBouncer:
    """One, with the given mode.

    Args:
        folder: For its files.
        server: libpq keywords of the server's database.
        mode: session, transaction or statement.

    Attributes:
        port: Where clients come, without a password.
    """

    def __init__(self, folder: Path, server: str, *, mode: str) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise ServerMissing("PgBouncer is not installed: install pgbouncer.")
        folder.mkdir(parents=True)
        self.port = free_ports(1)[0]
        file = folder / "pgbouncer.ini"
        file.write_text(
            f"[databases]\nlake = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"auth_type = any\npool_mode = {mode}\nunix_socket_dir =\n"
        )
        account = None
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("nobody")
            account = Account(user.pw_uid, user.pw_gid, reads_everything=True)
        self._process = ChildProcess(
            ProcessSpec(
                name=f"pgbouncer-{mode}", argv=(program, str(file)), log_folder=folder / "logs",
                account=account, ready=lambda: accepts_tcp(self.port),
            )
        )  # fmt: skip

    def start(self) -> None:
        """Start it."""
        self._process.start()

    def stop(self) -> None:
        """End it."""
        self._process.stop()
