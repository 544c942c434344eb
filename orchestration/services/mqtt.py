"""An embedded MQTT 3.1.1 broker: amqtt, in a child process. For the demo only.

It keeps sessions and messages in memory, and refuses MQTT 5. Production points at a real broker;
durability tests use tests/servers/mosquitto.py. What the child runs is mqtt_broker.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orchestration.services.process import (
    ChildProcess,
    ProcessSpec,
    accepts_tcp,
    free_port,
    require_free_port,
)


class EmbeddedMqtt:
    """A broker on 127.0.0.1, without durability, authentication or encryption: for the demo only."""

    def __init__(self, folder: Path, *, port: int = 0, die_with_parent: bool = True) -> None:
        """Describe a broker; nothing is started.

        Args:
            folder: Where its log goes.
            port: TCP port; 0 takes a free one, which is kept for restarts.
            die_with_parent: Whether the broker ends when the starting thread does.
        """
        self.port = port or free_port()
        spec = ProcessSpec(
            name=self.name,
            argv=(sys.executable, "-m", "orchestration.services.mqtt_broker", "--port", str(self.port)),
            log_folder=folder / "log",
            ready=lambda: accepts_tcp(self.port),
            ready_timeout_s=20,
            # `-m` looks for the package in the working folder, so this also works without an installation.
            cwd=Path(__file__).parents[2],
        )
        self._child = ChildProcess(spec, die_with_parent=die_with_parent)

    @property
    def name(self) -> str:
        """Always `mqtt`."""
        return "mqtt"

    @property
    def host(self) -> str:
        """The address it listens on."""
        return "127.0.0.1"

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
            require_free_port(self.port, service="The embedded MQTT broker")
            self._child.start()

    def stop(self) -> None:
        """Stop the broker; its sessions and messages are gone."""
        self._child.stop()

    def is_running(self) -> bool:
        """Whether the broker's process lives."""
        return self._child.is_running()
