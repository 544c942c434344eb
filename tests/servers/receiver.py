"""A receiver that follows a script: for each request it takes, refuses, hangs, hangs up or is slow.

It keeps its own list: what it took, once by key, which alerts' ledger is compared with.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TAKE, REFUSE, BUSY, HANG, RESET, SLOW, NEVER = "take", "500", "429", "hang", "reset", "slow", "400"
"""reset: taken, and then the connection is reset before an answer: the sender cannot know."""
_HANG_SECONDS = 30.0
_SLOW_SECONDS = 0.3


@dataclass(frozen=True)
class Request:
    """One that came.

    Attributes:
        headers: Small letters → value.
        body: As it came.
        did: What was done with it.
    """

    headers: Mapping[str, str]
    body: bytes
    did: str

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.headers["webhook-id"]

    @property
    def alert(self) -> dict[str, Any]:
        """What it holds."""
        return dict(json.loads(self.body))


class Receiver:
    """A context that serves.

    Args:
        script: What is done with one request after the other; afterwards each is taken.
        retry_after: What a 429 asks for, in seconds.

    Attributes:
        requests: All that came, in order.
    """

    def __init__(self, script: Iterable[str] = (), *, retry_after: str = "1") -> None:
        self.requests: list[Request] = []
        self._script, self._lock = list(script), threading.Lock()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                did = receiver._next({name.lower(): value for name, value in self.headers.items()}, body)
                if did == HANG:
                    receiver._closing.wait(_HANG_SECONDS)
                    return
                if did == RESET:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.connection.close()
                    return
                if did == SLOW:
                    time.sleep(_SLOW_SECONDS)
                self.send_response(200 if did in (TAKE, SLOW) else int(did))
                if did == BUSY:
                    self.send_header("Retry-After", retry_after)
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
        """Its address, with a token that nobody may see."""
        return f"http://127.0.0.1:{self._server.server_port}/t0ken"

    def then(self, *script: str) -> None:
        """Add to the script."""
        with self._lock:
            self._script += script

    def taken(self) -> list[Request]:
        """What it took, in order; of each key the first."""
        with self._lock:
            found: dict[str, Request] = {}
            for each in self.requests:
                if each.did in (TAKE, SLOW, RESET):
                    found.setdefault(each.key, each)
            return list(found.values())

    def events(self) -> list[tuple[str, str]]:
        """Event and subject of each alert that was taken."""
        return [(each.alert["event"], each.alert["subject"]) for each in self.taken()]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts of all messages that it took, in order, as often as they came."""
        return [alert for each in self.taken() for alert in each.alert.get("alerts", [each.alert])]

    def _next(self, headers: Mapping[str, str], body: bytes) -> str:
        with self._lock:
            did = self._script.pop(0) if self._script else TAKE
            self.requests.append(Request(headers, body, did))
            return did

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
