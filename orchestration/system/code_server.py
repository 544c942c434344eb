"""The code server: holds the definitions for the daemon and the web server; a new process loads new code.

Dagster's own `code-server` does that with a process in between that forwards every call. Here clients have
one address, a symbolic link to the socket of the process that serves. The link moves when the next process is
ready. Clients connect for every call and notice the change by the server's id. See `dagster api grpc`.
"""

from collections.abc import Callable
from pathlib import Path

from ingestion.errors import StorageError
from orchestration.services.process import ChildProcess

_LAST_CALLS_SECONDS = 15.0  # a sensor's tick may take ten


class CodeServer:
    """A `Service` whose process can be replaced without a gap.

    Args:
        name: For the status table.
        address: The path that clients know.
        process: Makes a server for a socket; its `ready` is true once the server answers.

    Attributes:
        complaint: Why the newest code is not served, as a sentence; empty when it is.
    """

    def __init__(
        self,
        name: str,
        *,
        address: Path,
        process: Callable[[Path], ChildProcess],
    ) -> None:
        self.complaint = ""
        self._name = name
        self._address = address
        self._make = process
        self._generation = 0
        self._serving: ChildProcess | None = None
        self._next_server: tuple[ChildProcess, Path] | None = None
        self._retired: list[tuple[ChildProcess, float]] = []

    @property
    def name(self) -> str:
        """Name of the service."""
        return self._name

    @property
    def pid(self) -> int | None:
        """Process id of the process that serves; None when none does."""
        return self._serving.pid if self._serving is not None else None

    def is_running(self) -> bool:
        """Whether a process serves."""
        return self._serving is not None and self._serving.is_running()

    def start(self) -> None:
        """Start one and wait until it has loaded the code; code that does not load is shown in the UI.

        Raises:
            ServiceError: It ended or was not ready in time.
        """
        if self.is_running():
            return
        self._drop_next()
        if self._serving is not None:
            self._serving.stop()
        for left in self._address.parent.glob(f"{self._address.stem}-*.sock"):
            left.unlink(missing_ok=True)  # left by a killed code server
        child, socket = self._make_next()
        child.start()
        self._serve(child, socket)

    def renew(self) -> None:
        """Start a new process that loads the current code; `settle` puts it in the old one's place."""
        self._drop_next()
        child, socket = self._make_next()
        child.launch()
        self._next_server = child, socket

    def settle(self, now_s: float) -> None:
        """Let the next process serve once it is ready, and end replaced ones once no call can still use them.

        Args:
            now_s: Seconds from a clock that never goes back.

        Raises:
            StorageError: The address cannot be moved; the next call tries it again.
        """
        if self._next_server is not None:
            child, socket = self._next_server
            if child.is_ready():
                old = self._serving
                self._serve(child, socket)
                self._next_server = None
                if old is not None:
                    self._retired.append((old, now_s + _LAST_CALLS_SECONDS))
            elif not child.is_running():
                self.complaint = (
                    "the changed code could not be loaded, so the old code stays in use: "
                    f"{child.log_file} ends with: "
                    f"{child.log_tail()}"
                )
                self._drop_next()
        for child, until in list(self._retired):
            if now_s >= until:
                child.stop()
                self._retired.remove((child, until))

    def stop(self) -> None:
        """End all of them."""
        self._drop_next()
        for child, _until in self._retired:
            child.stop()
        self._retired.clear()
        if self._serving is not None:
            self._serving.stop()
        self._serving = None

    def _make_next(self) -> tuple[ChildProcess, Path]:
        self._generation += 1
        socket = self._address.with_name(f"{self._address.stem}-{self._generation}.sock")
        return self._make(socket), socket

    def _serve(self, child: ChildProcess, socket: Path) -> None:
        fresh = self._address.with_suffix(".next")
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(socket.name)
            fresh.replace(self._address)
        except OSError as error:
            raise StorageError(
                f"{self._address} cannot be moved to the changed code ({error.strerror or error}); "
                "free that disk or repair its permissions"
            ) from None
        self._serving, self.complaint = child, ""

    def _drop_next(self) -> None:
        if self._next_server is not None:
            self._next_server[0].stop()
        self._next_server = None
