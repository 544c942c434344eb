"""A webhook: a real HTTP server that takes alerts, or refuses so many of them first."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """A context that serves.

    Attributes:
        taken: The alerts that were taken, in order.
        refuse: How many of the next ones are answered with 503.
        redirect: Whether each is answered with another place, which takes everything.
        drips: Whether an answer's head comes a byte at a time and never ends.
    """

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refuse = 0
        self.redirect = self.drips = False
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                alert = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if hook.redirect:
                    self.send_response(302)
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    return
                while hook.drips:
                    self.wfile.write(b"H")
                    time.sleep(0.05)
                refused, hook.refuse = hook.refuse > 0, max(0, hook.refuse - 1)
                if not refused:
                    hook.taken.append(alert)
                self.send_response(503 if refused else 200)
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """Its address, with a token that nobody may see."""
        return f"http://127.0.0.1:{self._server.server_port}/t0ken"

    def events(self) -> list[tuple[str, str]]:
        """Event and subject of each alert that was taken."""
        return [(alert["event"], alert["subject"]) for alert in self.taken]

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
