"""A schema registry on 127.0.0.1 as a process of its own: it can be killed, and comes back with its data."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestration.services.process import ChildProcess, ProcessSpec, accepts_tcp
from tests.servers.ports import free_ports


class SchemaRegistry:
    """One registry; its port and data stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        first_id: int = 1,
        user: str = "",
        token: str = "",
        certificate: Path | None = None,
        clients: Path | None = None,
        moved_to: str = "",
    ) -> None:
        """Choose a port.

        Args:
            folder: For its data and its log.
            first_id: The id of the first schema.
            user: `name:password` that it asks for; empty with an empty token: anybody may ask.
            token: Bearer token that it takes, too.
            certificate: PEM of its key and certificate; None: no TLS.
            clients: PEM of the authority whose certificates its clients have to show.
            moved_to: Where it redirects every question.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._log = folder / "log"
        argv = [sys.executable, "-m", "tests.servers.registry_process", "--port", str(self.port)]
        argv += ["--file", str(folder / "schemas.json"), "--first-id", str(first_id)]
        if user:
            argv += ["--login", f"Basic {base64.b64encode(user.encode()).decode()}"]
        if token:
            argv += ["--login", f"Bearer {token}"]
        argv += ["--certificate", str(certificate)] if certificate else []
        argv += ["--clients", str(clients)] if clients else []
        argv += ["--moved-to", moved_to] if moved_to else []
        self._child = ChildProcess(
            ProcessSpec(
                name="schema-registry", argv=argv, log_folder=self._log, cwd=Path(__file__).parents[2],
                ready=lambda: accepts_tcp(self.port), ready_timeout_s=60,
            )
        )  # fmt: skip

    def start(self) -> SchemaRegistry:
        """Start it and wait until it answers."""
        self._child.start()
        return self

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._child.kill()

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    def asked(self) -> Sequence[str]:
        """The requests that it was asked, as in `GET /schemas/ids/1`."""
        return [line for file in self._log.glob("*.log") for line in file.read_text().splitlines()]
