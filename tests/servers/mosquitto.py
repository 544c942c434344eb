"""A Mosquitto broker (Debian package) on 127.0.0.1, with a configuration of the test's own.

How a child process is started and stopped is in orchestration/services/process.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestration.services.process import ChildProcess, ProcessSpec, accepts_tcp, wait_until
from tests.servers import ServerMissing
from tests.servers.ports import free_ports


class Mosquitto:
    """One broker; its port and folder stay the same over restarts."""

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        *,
        persistence: bool = False,
        users: Mapping[str, str] | None = None,
        max_queued_messages: int | None = None,
        max_inflight_messages: int | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        """Write the configuration.

        Args:
            folder: Empty or missing folder for configuration, log and persistence.
            persistence: Save sessions and queued messages at `stop`, `save`, and soon after every change.
            users: Name → password; None lets anonymous clients in.
            max_queued_messages: Per client, beyond those in flight; None for Mosquitto's 1,000.
            max_inflight_messages: Unacknowledged per client; None for Mosquitto's 20.
            extra: Further configuration lines, such as a TLS listener.

        Raises:
            ServerMissing: Mosquitto is not installed.
        """
        binary = _installed("mosquitto")
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        lines = [f"listener {self.port} {self.host}", f"allow_anonymous {str(users is None).lower()}"]
        lines += ["log_dest stderr", "log_type error", "log_type warning"]
        if os.geteuid() == 0:
            # Otherwise it becomes the user `mosquitto`, who cannot enter a private temporary folder.
            lines.append("user root")
        if persistence:
            lines += ["persistence true", f"persistence_location {folder}/"]
            lines += ["autosave_on_changes true", "autosave_interval 1"]
        if max_queued_messages is not None:
            lines.append(f"max_queued_messages {max_queued_messages}")
        if max_inflight_messages is not None:
            lines.append(f"max_inflight_messages {max_inflight_messages}")
        if users is not None:
            lines.append(f"password_file {_password_file(folder, users)}")
        self._database = folder / "mosquitto.db"
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, *extra, ""]))
        self._child = ChildProcess(
            ProcessSpec(
                name="mosquitto",
                argv=(binary, "-c", str(config)),
                log_folder=folder / "log",
                ready=lambda: accepts_tcp(self.port),
                ready_timeout_s=60,
            )
        )

    @property
    def pid(self) -> int | None:
        """Process id, or None when it does not run."""
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._child.start()

    def stop(self) -> None:
        """Stop it; with persistence it saves before."""
        self._child.stop()

    def save(self) -> None:
        """Write its sessions and queues to disk now; Mosquitto acknowledges before it saves."""
        assert self.pid is not None
        before = self._saved_at()
        os.kill(self.pid, signal.SIGUSR1)
        if not wait_until(lambda: self._saved_at() != before, timeout_s=60):
            raise RuntimeError("Mosquitto did not save within 10 s: start it with persistence=True.")

    def _saved_at(self) -> tuple[int, int]:
        # Every save replaces the file by a new one.
        found = self._database.stat() if self._database.exists() else None
        return (found.st_ino, found.st_mtime_ns) if found is not None else (0, 0)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._child.kill()

    def restart(self) -> None:
        """Stop and start on the same port and folder."""
        self.stop()
        self.start()


def _installed(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise ServerMissing(f"{program} is not installed: apt-get install mosquitto.")
    return path


def _password_file(folder: Path, users: Mapping[str, str]) -> Path:
    path = folder / "passwords"
    path.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
    path.chmod(0o600)
    subprocess.run([_installed("mosquitto_passwd"), "-U", str(path)], check=True, capture_output=True)
    return path
