"""The demo's own receiver of alerts: it stands where a pager would, and notes each alert in a file.

A service of the system's, on a thread of this process. Who sends to it is in reactions.py.
"""

import json
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from orchestration.services.process import require_free_port

_MOST_BYTES = 1_000_000
_HOST = "127.0.0.1"


class AlertReceiver:
    """Takes every alert.

    Args:
        log: Gets a line of JSON for each alert: when it came, and what came.
        port: Where it listens on this machine.

    Attributes:
        log: The file.
    """

    name = "receiver"

    def __init__(self, log: Path, *, port: int) -> None:
        self.log, self._port = log, port
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{_HOST}:{self._port}/alerts"

    @property
    def pid(self) -> int | None:
        """This process's, while it listens."""
        return os.getpid() if self.is_running() else None

    def is_running(self) -> bool:
        """Whether it listens."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen."""
        if self.is_running():
            return
        note, guard = self._note, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not length.isdigit() or int(length) > _MOST_BYTES:
                    self.send_error(413)
                    return
                body = self.rfile.read(int(length))
                try:
                    with guard:
                        note(body)
                except (OSError, ValueError) as error:
                    self.send_error(500 if isinstance(error, OSError) else 400)
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """The log of alerts is enough."""

        require_free_port(self._port, service="The demo's receiver of alerts")
        self._server = ThreadingHTTPServer((_HOST, self._port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="alert-receiver", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    def _note(self, body: bytes) -> None:
        """Write an alert, or each of a message of several."""
        content, at = json.loads(body), datetime.now(UTC).isoformat(timespec="milliseconds")
        if not isinstance(content, dict):
            raise ValueError("an alert is an object")
        lines = [json.dumps({"received": at, **each}) for each in content.get("alerts", [content])]
        with self.log.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
