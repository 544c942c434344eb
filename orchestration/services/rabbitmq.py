"""A RabbitMQ on 127.0.0.1 from the program that is installed here: for the demo, and for tests.

Folder, Erlang cookie and port mapper (epmd) are its own, so that it meets no RabbitMQ of the machine.
Production points at a real cluster.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestration.services.process import ChildProcess, ProcessSpec, ServiceError, accepts_tcp, free_port

_PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/local/lib/rabbitmq/bin/rabbitmq-server")
"""The server's own script; the one on the PATH of Debian changes the user and the folder."""
_READY_SECONDS = 120.0


def rabbitmq_program() -> str | None:
    """The server's script; None where RabbitMQ or its epmd is not installed."""
    found = next((path for path in _PROGRAMS if os.access(path, os.X_OK)), None)
    return found if shutil.which("epmd") else None


class LocalRabbitMq:
    """One broker; ports and folder stay the same over restarts. Its user is `guest`, password `guest`.

    Args:
        folder: For its data, cookie, configuration and logs.
        port: TCP port; 0 takes a free one.
        extra: Further lines of its configuration, such as a TLS listener.
        die_with_parent: Whether it ends when the starting thread does.

    Attributes:
        port: The TCP port.
        host: The address that it listens on.

    Raises:
        ServiceError: RabbitMQ is not installed.
    """

    host = "127.0.0.1"

    def __init__(
        self, folder: Path, *, port: int = 0, extra: Sequence[str] = (), die_with_parent: bool = True
    ) -> None:
        program, epmd = rabbitmq_program(), shutil.which("epmd")
        if program is None or epmd is None:
            raise ServiceError("RabbitMQ is not installed: apt-get install rabbitmq-server.")
        self.port = port or free_port()
        mapper, distribution = free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = [f"listeners.tcp.1 = {self.host}:{self.port}", "disk_free_limit.absolute = 50MB", *extra]
        (folder / "rabbitmq.conf").write_text("\n".join([*lines, ""]))
        (folder / "plugins").write_text("[].\n")
        only_local = "-kernel inet_dist_use_interface {127,0,0,1}"
        environment = {
            "PATH": os.defpath,
            "HOME": str(folder),  # where Erlang keeps its cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": self.host,
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_NODENAME": f"millrace-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            # Two schedulers that sleep when there is nothing to do: a broker beside everything else.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{only_local} +S 2:2 +sbwt none +sbwtdcpu none",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server instead of watching over it
        }
        # The server would start a mapper that outlives it.
        self._mapper = ChildProcess(
            ProcessSpec(
                name="epmd",
                argv=(epmd, "-port", str(mapper), "-address", self.host),
                log_folder=folder / "log",
                ready=lambda: accepts_tcp(mapper),
                env=environment,
            ),
            die_with_parent=die_with_parent,
        )
        self._server = ChildProcess(
            ProcessSpec(
                name="rabbitmq",
                argv=(program,),
                log_folder=folder / "log",
                ready=lambda: accepts_tcp(self.port),
                ready_timeout_s=_READY_SECONDS,
                stop_timeout_s=20,
                env=environment,
            ),
            die_with_parent=die_with_parent,
        )

    @property
    def name(self) -> str:
        """Name of the service."""
        return self._server.name

    @property
    def pid(self) -> int | None:
        """Process id, or None when it does not run."""
        return self._server.pid

    def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            ServiceError: It did not come up.
        """
        self._mapper.start()
        self._server.start()

    def stop(self) -> None:
        """Stop it; what is durable is there after the next start."""
        self._server.stop()
        self._mapper.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._server.kill()
        self._mapper.kill()

    def is_running(self) -> bool:
        """Whether the server's process lives."""
        return self._server.is_running()
