"""The private folder of the embedded PostgreSQL: layout, owners, socket place, password file.

Nothing outside it is ever changed; a path too long for a socket gets a private folder in the temp folder.
The server's life is in postgres.py, the data in postgres_cluster.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import secrets
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.services.launch import Account, launch_prefix, setpriv
from orchestration.services.process import ServiceError, wait_until

USER = "millrace"
READER = "millrace_reader"
"""The role of BI tools, the only one that is let in over TCP."""
PORT = 5432
# sun_path of sockaddr_un holds 108 bytes with the final NUL on Linux, 104 on the BSDs.
_SOCKET_PATH_LIMIT_BYTES = 103
_LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Tcp:
    """Where the server listens besides its socket.

    Attributes:
        host: An address of this machine.
        port: To listen on.
        database: The one that may be read there, by READER.
    """

    host: str
    port: int
    database: str = "serving"


@dataclass(frozen=True, slots=True)
class PostgresFolder:
    """Where everything lies; `root` is absolute.

    The folder is 0700, or 0710 for the group of the unprivileged account when root runs it; `data`, `run` and
    `secret` are 0700, files 0600.
    """

    root: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder; it exists only when it is complete."""
        return self.root / "data"

    @property
    def passfile(self) -> Path:
        """Password file in libpq's format."""
        return self.root / "secret" / "pgpass"

    @property
    def may_create_roles(self) -> bool:
        """Whether the role may make others: the one that BI tools use."""
        return self._roles_note.exists()

    def note_may_create_roles(self) -> None:
        """Note that it may."""
        self._roles_note.touch(mode=0o600)

    @property
    def _roles_note(self) -> Path:
        return self.root / "secret" / "may-create-roles"

    @property
    def config(self) -> Path:
        """The server's configuration file, written at every start."""
        return self.root / "postgresql.conf"

    @property
    def socket(self) -> Path:
        """The socket by the name that every client knows, whichever port the server listens on."""
        return self.socket_folder / f".s.PGSQL.{PORT}"

    @property
    def access(self) -> Path:
        """The server's client authentication file (pg_hba.conf)."""
        return self.root / "pg_hba.conf"

    @property
    def socket_folder(self) -> Path:
        """Folder of the unix socket; the same for every process that looks, whatever its TMPDIR."""
        note = self.root / "socket-folder"
        if note.exists():
            return Path(note.read_text().strip())
        inside = self.root / "run"
        if len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= _SOCKET_PATH_LIMIT_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"millrace-{digest}"

    def prepare(self) -> None:
        """Make the folder, or check that Millrace made it.

        Raises:
            ServiceError: It cannot be written, or holds something else.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.root.stat().st_uid != os.geteuid():
                raise ServiceError(
                    f"{self.root} belongs to another user: run Millrace as that user, "
                    "or choose another folder with MILLRACE_DATA_DIR."
                )
            if any(self.root.iterdir()) and not self._lock_file.exists():
                raise ServiceError(
                    f"{self.root} holds files that Millrace did not make: "
                    "choose an empty folder with MILLRACE_DATA_DIR."
                )
            os.close(os.open(self._lock_file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise ServiceError(
                f"Cannot write to {self.root} ({error.strerror}): "
                "make it writable, or choose another folder with MILLRACE_DATA_DIR."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes; the lock dies with its process."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_NOFOLLOW)
        try:
            if not wait_until(lambda: _flocked(descriptor), timeout_s=_LOCK_TIMEOUT_S):
                raise ServiceError(
                    f"Another process has been starting or stopping the PostgreSQL of {self.root} for over "
                    f"{_LOCK_TIMEOUT_S:g} s: end that process and try again."
                )
            yield
        finally:
            os.close(descriptor)

    def account(self, binaries: Path) -> Account | None:
        """The user the server runs as; PostgreSQL refuses root.

        Args:
            binaries: Folder of PostgreSQL's programs.

        Returns:
            None for the present user; for root the owner of the data, at first `nobody`.

        Raises:
            ServiceError: That user cannot reach the folder or the programs, whatever is tried.
        """
        if os.geteuid() != 0:
            return None
        entry = pwd.getpwnam("nobody")
        uid, gid = entry.pw_uid, entry.pw_gid
        if self.data.exists():
            owner = self.data.stat()
            uid, gid = owner.st_uid, owner.st_gid
        os.chown(self.root, 0, gid)
        self.root.chmod(0o710)
        candidates = [Account(uid, gid)]
        if setpriv() is not None:
            candidates.append(Account(uid, gid, reads_everything=True))
        for account in candidates:
            if _can_enter(account, self.root) and _can_enter(account, binaries):
                return account
        unreachable = binaries if _can_enter(candidates[-1], self.root) else self.root
        remedy = (
            "install Millrace in a folder that other users may enter"
            if unreachable == binaries
            else "choose one that other users may enter, such as /var/lib/millrace, with MILLRACE_DATA_DIR"
        )
        raise ServiceError(
            f"PostgreSQL does not run as root, and user id {uid} cannot reach {unreachable}: "
            f"{remedy}, or run Millrace as a normal user."
        )

    def make_socket_folder(self, account: Account | None) -> Path:
        """Make the socket folder, private to the server's user, and remember it when it lies outside.

        Raises:
            ServiceError: Somebody else made a folder of that name.
        """
        path = self.socket_folder
        note = self.root / "socket-folder"
        if path.parent != self.root and not note.exists():
            write_private(note, f"{path}\n")
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        trusted = {os.geteuid(), account.uid if account is not None else os.geteuid()}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in trusted:
            raise ServiceError(f"{path} was not made by Millrace: delete it and start again.")
        give_to(path, account)
        path.chmod(0o700)
        return path

    def make_password(self) -> str:
        """Write a new random password to the password file and return it."""
        self.passfile.parent.mkdir(mode=0o700, exist_ok=True)
        password = secrets.token_urlsafe(32)
        write_private(self.passfile, f"*:*:*:{USER}:{password}\n")
        return password

    @property
    def _lock_file(self) -> Path:
        return self.root / "lock"


def write_private(path: Path, text: str, *, group: int | None = None) -> None:
    """Replace a file at once by one that only we read (0600), or also one group (0640)."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if group is not None:
            os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, 0o640)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)


def give_to(path: Path, account: Account | None) -> None:
    """Make `account` the owner of one of our files or folders."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _can_enter(account: Account, folder: Path) -> bool:
    # Asking the kernel is exact, also about access lists and containers; comparing modes is not.
    command = [
        *launch_prefix(account=account, death_signal=None),
        "/bin/sh",
        "-c",
        'cd -- "$1"',
        "sh",
        str(folder),
    ]
    return subprocess.run(command, capture_output=True, cwd="/").returncode == 0
