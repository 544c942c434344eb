"""Sends a guest's events from a thread of its own, each until its broker has accepted it."""

import sys
import threading
from queue import Queue

from ingestion.connectors.messages import Outgoing
from ingestion.errors import MillraceError
from orchestration.demo.guests.guest import Guest

_PAUSE_SECONDS = 0.5


class Outbox:
    """A guest's sender.

    Args:
        guest: Whose events these are.
        port: Of its broker, on 127.0.0.1.

    Attributes:
        accepted: Events that the broker has accepted.
        posted: Events that were handed over.
    """

    def __init__(self, guest: Guest, port: int) -> None:
        self.accepted = self.posted = 0
        self._guest = guest
        self._sender = guest.open_sender(port)
        self._events: Queue[bytes] = Queue()
        self._stop = threading.Event()
        threading.Thread(target=self._run, name=guest.kind, daemon=True).start()

    def post(self, event: bytes) -> None:
        """Hand one event over."""
        self.posted += 1
        self._events.put(event)

    def finish(self, *, timeout_s: float) -> None:
        """Wait until every event is accepted, for a bounded time, and end."""
        with self._events.all_tasks_done:
            self._events.all_tasks_done.wait_for(lambda: not self._events.unfinished_tasks, timeout_s)
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            event = self._events.get()
            while not self._stop.is_set() and not self._is_sent(event):
                self._stop.wait(_PAUSE_SECONDS)
            self._events.task_done()

    def _is_sent(self, event: bytes) -> bool:
        try:
            self._sender.send([Outgoing(self._guest.destination, event)])
        except MillraceError as error:
            print(f"An event waits for the broker: {error}.", file=sys.stderr)
            return False
        self.accepted += 1
        return True
