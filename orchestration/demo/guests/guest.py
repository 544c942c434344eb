"""What a guest brings: its server, its stream, and how it is reached. Which ones there are is in kinds.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ingestion.connectors.messages import Sender
from ingestion.connectors.port import Access
from ingestion.connectors.registry import connector
from ingestion.errors import MillraceError
from ingestion.libraries import installed
from orchestration.demo.streams import PlantStream
from orchestration.services.process import Service, ServiceError

_SECONDS = 20.0


class Server(Service, Protocol):
    """A service that listens on a port of 127.0.0.1."""

    @property
    def port(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Guest:
    """One kind.

    Attributes:
        kind: Of its stream's source.
        stream: Its stream.
        destination: Where events are sent to, as its connector calls it.
        has_server: Whether its server is installed.
        make_server: Makes it, with a folder for its files.
        access: How it is reached at a port, as names of settings without the kind → values.
        remedy: What to install.
    """

    kind: str
    stream: PlantStream
    destination: str
    has_server: Callable[[], bool]
    make_server: Callable[[Path], Any]
    access: Callable[[int], Mapping[str, str]]
    remedy: str

    @property
    def is_there(self) -> bool:
        """Whether the demo can have it."""
        libraries = connector(self.kind).libraries
        return self.has_server() and installed(libraries) == libraries

    @property
    def files(self) -> Path:
        """What it adds to a project."""
        return Path(__file__).parent / self.kind

    def runtime(self, port: int) -> dict[str, str]:
        """Settings' names → values, for every process of the demo."""
        return {f"{self.kind}_{name}": value for name, value in self.access(port).items()}

    def open_sender(self, port: int) -> Sender:
        """A client of the broker."""
        kind = connector(self.kind)
        access: Access = kind.access.model_validate(self.access(port))
        return kind.open_sender(access, timeout_seconds=_SECONDS)


class GuestBroker:
    """A guest's server, which has its stream once it is started.

    Args:
        guest: Which.
        folder: For its files.

    Attributes:
        guest: The same.
        port: Where it listens; the same after a restart.
    """

    def __init__(self, guest: Guest, folder: Path) -> None:
        self.guest = guest
        self._server: Server = guest.make_server(folder)
        self.port = self._server.port

    @property
    def name(self) -> str:
        """Name of the service."""
        return self._server.name

    @property
    def pid(self) -> int | None:
        """Process id, or None when it does not run."""
        return self._server.pid

    def start(self) -> None:
        """Start it, wait until it serves, and make the stream unless it is there.

        Raises:
            ServiceError: It did not come up.
        """
        if self.is_running():
            return
        self._server.start()
        try:
            sender = self.guest.open_sender(self.port)
            sender.prepare(self.guest.destination, create=True)
            sender.close()
        except MillraceError as error:
            self._server.stop()
            raise ServiceError(f"{error}.") from None

    def stop(self) -> None:
        """Stop it."""
        self._server.stop()

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._server.is_running()
