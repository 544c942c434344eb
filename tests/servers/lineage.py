"""A catalog that takes OpenLineage, for tests: an HTTP server that keeps what it is sent, or refuses it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Mood = Literal["takes", "refuses", "hangs"]


class LineageCatalog:
    """A context that serves.

    Attributes:
        mood: What it does with what comes.
        events: What was taken, in order.
        asked: How many requests have come.
        authorization: Of the last request.
    """

    def __init__(self, mood: Mood = "takes") -> None:
        self.mood = mood
        self.events: list[dict[str, Any]] = []
        self.asked = 0
        self.authorization = ""
        self._closing = threading.Event()
        catalog = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                catalog.asked += 1
                catalog.authorization = self.headers.get("Authorization", "")
                if catalog.mood == "hangs":
                    catalog._closing.wait()
                    return
                if catalog.mood == "takes" and self.path == "/api/v1/lineage":
                    catalog.events.append(json.loads(body))
                self.send_response(201 if catalog.mood == "takes" else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """For OPENLINEAGE_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def of(self, job: str, state: str) -> list[dict[str, Any]]:
        """The events of a job that say that it is in a state."""
        return [event for event in self.events if event["job"]["name"] == job and event["eventType"] == state]

    def __enter__(self) -> LineageCatalog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
