"""Requests → events for streams, and receipts back, between two threads.

The server's thread reads requests (app.py) and waits; the collector's thread takes their events in, and
answers once they are durable, so that all that wait share one fsync.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.app import HttpApp
from ingestion.connectors.http.declare import HttpSource
from ingestion.connectors.http.delivery import Delivery, answer
from ingestion.connectors.http.doors import Keepers, doors_of
from ingestion.connectors.http.keys import Keys
from ingestion.connectors.http.once import Once
from ingestion.connectors.http.server import HttpServer
from ingestion.connectors.http.tokens import TokenFile
from ingestion.connectors.intake import Intake
from ingestion.connectors.listener import ListenerStatus
from ingestion.errors import SourceUnavailable, StorageError
from ingestion.spool.guarded import Held
from ingestion.spool.writer import SpoolEvent

_LEAVING = Held("the collector is being stopped", is_full=False)


class HttpListener:
    """Listens to senders for several streams (connectors/listener.py).

    Args:
        sources: Stream's name → its source.
        access: Where it listens, and its limits.
        state: The folder of tokens and keys.
        intake: Takes the events.
        timeout_seconds: How long a request may wait to be stored.

    Raises:
        ConfigError: Two streams of one address let others in.
        StorageError: The keys cannot be read.
    """

    def __init__(
        self,
        sources: Mapping[str, HttpSource],
        access: HttpAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
    ) -> None:
        self._access, self._intake = access, intake
        self._doors = doors_of(sources)
        self._inbox: SimpleQueue[Delivery] = SimpleQueue()
        self._waiting: dict[str, deque[Delivery]] = defaultdict(deque)
        self._handed: set[Delivery] = set()
        self._held: dict[str, Held] = {}
        self._error = ""
        self._keys = Keys(state / "keys.db")
        hours = {stream: source.key_hours for stream, source in sources.items()}
        self._once = Once(self._keys, intake, hours)
        self._server: HttpServer | None = None
        self._app = HttpApp(
            self._doors,
            access,
            keepers=Keepers(access, TokenFile(state)),
            whereabouts=intake.whereabouts,
            deliver=self._inbox.put,
            held=lambda name: self._held.get(name),
            answer_seconds=timeout_seconds,
            marts=intake.marts,
        )

    @property
    def waiting_requests(self) -> int:
        """How many requests have come and were not handed over yet."""
        return self._inbox.qsize() + sum(map(len, self._waiting.values()))

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        """Hand over the events of the requests that are there; refuse those that were not stored.

        Raises:
            SourceUnavailable: The address cannot be used, or the server has ended.
        """
        if self._server is None:
            self._server = HttpServer(self._app.asgi, self._access)
        if not self._server.is_alive:
            raise SourceUnavailable(f"the server at {self._server.address} has ended; it is started again")
        self._refuse_held()
        self._tend_keys()
        self._receive(0.001 if any(self._waiting.values()) or self._handed else timeout_seconds)
        for name, waiting in self._waiting.items():
            while waiting and more(name):
                self._hand_over(waiting.popleft())

    def acknowledge(self, receipts: Iterable[Delivery]) -> None:
        """Answer the requests of which every event is durable."""
        done = [delivery for delivery in receipts if delivery.acknowledge_one()]
        self._handed.difference_update(done)
        if done:
            self._once.finish({delivery: list(delivery.stored.values()) for delivery in done})

    def status(self) -> ListenerStatus:
        """Where it listens, and how many requests got which answer."""
        serving = self._server is not None and self._server.is_alive
        return ListenerStatus(
            address=self._server.address if self._server else self._access.address,
            connected=serving,
            ready=serving,
            error=self._error,
            figures={"answered": {str(status): count for status, count in self._app.answered.items()}},
        )

    def close(self) -> None:
        """Refuse what is not stored, and end; its senders will send it again."""
        self._receive(0)
        waiting = [delivery for each in self._waiting.values() for delivery in each]
        answer((delivery, _LEAVING) for delivery in (*self._handed, *waiting, *self._once.left()))
        if self._server is not None:
            self._server.stop()
        self._app.close()
        self._keys.close()

    def _receive(self, timeout_seconds: float) -> None:
        try:
            delivery = (
                self._inbox.get(timeout=timeout_seconds) if timeout_seconds else self._inbox.get_nowait()
            )
            while True:
                self._waiting[delivery.door].append(delivery)
                delivery = self._inbox.get_nowait()
        except Empty:
            return

    def _hand_over(self, delivery: Delivery) -> None:
        if delivery.outcome.done():  # nobody waits for it any more
            return
        try:
            streams = self._once.missing(delivery, self._doors[delivery.door])
        except StorageError as error:
            answer([(delivery, Held(str(error), is_full=False))])
            return
        if not streams:
            return
        self._handed.add(delivery)
        key = delivery.door.encode()
        for value in delivery.events:
            event = SpoolEvent(key, value, delivery.headers, delivery.received_us)
            self._intake.take(event, streams, receipt=delivery, lane=delivery.door, placed=delivery.placed)

    def _tend_keys(self) -> None:
        try:
            self._once.recover()
            self._once.forget_old(time.time())
            self._error = ""
        except StorageError as error:
            self._error = str(error)

    def _refuse_held(self) -> None:
        """What could not be stored at the last commit is not kept waiting: its sender keeps it."""
        self._held = {
            name: held
            for name, door in self._doors.items()
            for held in [next(filter(None, map(self._intake.held, door.streams)), None)]
            if held
        }
        refused = {delivery for delivery in self._handed if delivery.door in self._held}
        if refused:
            self._intake.revise(lambda delivery: None if delivery in refused else delivery)
            self._handed -= refused
            self._once.finish({delivery: self._held[delivery.door] for delivery in refused})
