"""The plant's hand-held scanners: POST inspections as a client should, and keep the score of receipts.

What they report is inspections.py's.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from queue import Queue
from random import Random

from orchestration.demo.streams import INSPECTIONS

LOST_SHARE = 0.03
_ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
_MOST_PAUSE_SECONDS = 5.0
_BUSY = (429, 503)


@dataclass(frozen=True)
class _Request:
    key: str
    body: bytes
    content_type: str


class Scanners:
    """Sends from a thread of its own, one request after another, each until it has an answer.

    A request bears a key, so one whose answer was lost is repeated and counts once.

    Args:
        port: Of the collector, on 127.0.0.1.
        token: What it shows.
        random: Decides which answers are lost.
        lost_share: How many answers are lost on the way, 0 to 1.
        on_receipt: Called with the key of each request that got a receipt, on the thread.

    Attributes:
        receipts: Requests that were answered with a receipt.
        repeated: Of them, those that had been stored before: an earlier answer was lost.
    """

    def __init__(
        self,
        port: int,
        token: str,
        *,
        random: Random,
        lost_share: float = 0.0,
        on_receipt: Callable[[str], None] = lambda key: None,
    ) -> None:
        self.receipts = self.repeated = self._answers = 0
        self._port, self._token = port, token
        self._random, self._lost_share, self._on_receipt = random, lost_share, on_receipt
        self._requests: Queue[_Request] = Queue()
        self._stop = threading.Event()
        self._connection: HTTPConnection | None = None
        threading.Thread(target=self._run, name="scanners", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return self._requests.unfinished_tasks

    def post(self, body: bytes, *, key: str, content_type: str = "application/json") -> None:
        """Hand one request over.

        Args:
            body: One event.
            key: Names the request: the same key and body again are the same event.
            content_type: What the body is.
        """
        self._requests.put(_Request(key, body, content_type))

    def finish(self, *, timeout_s: float) -> None:
        """Wait until every request has its answer, for a bounded time, and end."""
        with self._requests.all_tasks_done:
            self._requests.all_tasks_done.wait_for(lambda: not self.waiting, timeout_s)
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            request = self._requests.get()
            while not self._stop.is_set() and (pause_s := self._send(request)) is not None:
                self._stop.wait(pause_s)
            self._requests.task_done()

    def _send(self, request: _Request) -> float | None:
        """None once it has its answer; else after how many seconds it is sent again."""
        try:
            answer = self._answer(request)
        except (OSError, HTTPException):
            self._hang_up()
            return _PAUSE_SECONDS
        # The first one always is, where any is: a short demo shows it too.
        self._answers += 1
        if self._lost_share and (self._answers == 1 or self._random.random() < self._lost_share):
            return _PAUSE_SECONDS
        if answer.status in _BUSY:
            asked = answer.getheader("Retry-After", "")
            return min(float(asked), _MOST_PAUSE_SECONDS) if asked.isdigit() else _PAUSE_SECONDS
        if answer.status == 202:
            self.receipts += 1
            self.repeated += answer.getheader("Idempotent-Replayed") == "true"
            self._on_receipt(request.key)
        else:
            print(f"Inspection {request.key} is refused with status {answer.status}.", file=sys.stderr)
        return None

    def _answer(self, request: _Request) -> HTTPResponse:
        if self._connection is None:
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": request.content_type,
            "Idempotency-Key": request.key,
        }
        self._connection.request("POST", f"/v1/{INSPECTIONS.name}", request.body, headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.will_close:
            self._hang_up()
        return answer

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
