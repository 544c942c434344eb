"""An address of the collector's own HTTP server under fire: it has no broker besides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException

from tests.fault.fire.source import Place, Sent, payload
from tests.servers.ports import free_ports

REQUEST_EVENTS = 200
_REFUSED = {429}
"""Nothing of such a request is stored; after any other answer but 202, or none, it may be."""


class HttpUnderFire:
    """Clients that send a request again until it is answered with 202 (source.Source).

    Args:
        keyed: Whether each request has an Idempotency-Key.
    """

    collector, mark = "http", ""

    def __init__(self, *, keyed: bool) -> None:
        (self._port,) = free_ports(1)
        self.declared = {"http": "events"}
        self.settings = {"http_port": self._port}
        self.once = self._keyed = keyed
        self.sent = Sent()
        self._connection = HTTPConnection("127.0.0.1", self._port, timeout=60)

    def send(self, numbers: Sequence[int]) -> None:
        for first in range(0, len(numbers), REQUEST_EVENTS):
            part = numbers[first : first + REQUEST_EVENTS]
            self.sent.together.append(range(part[0], part[-1] + 1))
            body = b"\n".join(payload(number) for number in part)
            while (status := self._ask(part[0], body)) != 202:
                if status not in _REFUSED:
                    self.sent.repeat(part)
                time.sleep(0.05)
            self.sent.confirm(part)

    def strike(self) -> str:
        return ""

    def heal(self) -> None:
        """Nothing of the kind was seen."""

    def kept(self) -> dict[Place, int] | None:
        return None

    def close(self) -> None:
        self._connection.close()

    def _ask(self, number: int, body: bytes) -> int:
        """The status; 0 without an answer, 429 where nobody listens: nothing was sent then."""
        headers = {"Content-Type": "application/x-ndjson"}
        if self._keyed:
            headers["Idempotency-Key"] = f"request-{number}"
        try:
            self._connection.connect() if self._connection.sock is None else None
        except OSError:
            self._connection.close()
            return 429
        try:
            self._connection.request("POST", "/v1/events", body, headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            self._connection.close()
            return 0
        return answer.status
