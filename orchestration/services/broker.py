"""What the demo's embedded brokers have in common: a child process that listens on a port of 127.0.0.1."""

from __future__ import annotations

from orchestration.services.process import ChildProcess, ProcessSpec, require_free_port


class EmbeddedBroker:
    """A broker without durability, authentication or encryption: for the demo only.

    Args:
        spec: Its process; the name is the service's.
        port: Its TCP port.
        die_with_parent: Whether the broker ends when the starting thread does.

    Attributes:
        port: The TCP port.
        host: The address it listens on.
    """

    host = "127.0.0.1"

    def __init__(self, spec: ProcessSpec, *, port: int, die_with_parent: bool) -> None:
        self.port = port
        self._spec = spec
        self._child = ChildProcess(spec, die_with_parent=die_with_parent)

    @property
    def name(self) -> str:
        """Name of the service."""
        return self._spec.name

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
            require_free_port(self.port, service=f"The embedded {self.name} broker")
            self._child.start()

    def stop(self) -> None:
        """Stop the broker; what it held is gone."""
        self._child.stop()

    def is_running(self) -> bool:
        """Whether the broker's process lives."""
        return self._child.is_running()
