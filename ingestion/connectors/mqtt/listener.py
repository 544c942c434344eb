"""MQTT messages → events for streams, and acknowledgements back; a session of its own for each stream.

So what one stream cannot store is held back at the broker for that stream alone. A session is in
connection.py, the one of a removed stream in farewell.py, who takes a message in topics.py.
"""

import select
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog

from ingestion.connectors.intake import NOBODY, Intake
from ingestion.connectors.listener import ListenerStatus
from ingestion.connectors.mqtt import drops
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.connection import MqttConnection
from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.drops import DropCounter
from ingestion.connectors.mqtt.farewell import end_session, is_drained
from ingestion.connectors.mqtt.filters import matches
from ingestion.connectors.mqtt.history import SessionHistory
from ingestion.connectors.mqtt.message import MqttMessage, event_of, received_now
from ingestion.connectors.mqtt.retry import Retry
from ingestion.connectors.mqtt.session import SessionsFile, session_file
from ingestion.connectors.mqtt.topics import Subscription, Takers
from ingestion.errors import SourceUnavailable
from ingestion.spool.writer import SpoolEvent

_CLOSE_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class MqttReceipt(NamedTuple):
    """Which message of which connection to acknowledge."""

    session: str
    connection: int
    message_id: int


class MqttListener:
    """Listens to one broker for several streams (connectors/listener.py).

    Args:
        sources: Stream's name → its source.
        access: How the broker is reached.
        state: The folder for the sessions and the count of drops.
        intake: Takes the events.
        timeout_seconds: Bound of an attempt to connect.
        retry: Waits between connections.

    Attributes:
        connections: Session's name, which is its stream's → the broker's side.

    Raises:
        ConfigError: No broker is configured, or the certificate file cannot be used.
        StorageError: The sessions' file cannot be read or written.
    """

    def __init__(
        self,
        sources: Mapping[str, MqttSource],
        access: MqttAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
        retry: Retry,
    ) -> None:
        self._access, self._sources, self._intake = access, sources, intake
        self._timeout, self._retry = timeout_seconds, retry
        self._file = SessionsFile(session_file(state), access.client_id)
        self._fresh = frozenset(sources) - frozenset(self._file.names)
        self._watcher = next(
            (name for name, source in sources.items() if not matches(source.topics, drops.TOPIC)), None
        )
        self._seen: dict[str, int] = {}
        self._turn = 0
        removed = [name for name in self._file.names if name not in sources]
        self.connections = {name: self._connection(name) for name in (*sources, *removed)}
        self._drops = DropCounter(state / "drops.json", access.address)
        self._history = SessionHistory(state, access.address)

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        """Take in messages; after a reconnection first settle what the broker sends again."""
        for connection in self.connections.values():
            if not connection.is_open and not connection.seconds_until_due():
                connection.open()
                if not connection.is_open:
                    break  # the same broker would let the others wait as long
        ready = self._wait(timeout_seconds, more)
        may_leave = all(
            each.connected and each.subscriptions.are_answered for each in self.connections.values()
        )
        self._turn += 1
        for name, connection in self._in_turn():
            readable, writable = ready.get(name, (False, False))
            if connection.is_open:
                connection.exchange(
                    readable=readable, writable=writable, may_leave=may_leave,
                    more=lambda name=name: more(name),  # type: ignore[misc]
                )  # fmt: skip
            if connection.generation != self._seen.get(name, 0):
                self._seen[name] = connection.generation
                self._connected_again(name)
        self._end_drained()

    def acknowledge(self, receipts: Iterable[MqttReceipt]) -> None:
        """Acknowledge what this connection brought; what an earlier one brought is sent again anyway."""
        ids: dict[str, list[int]] = {}
        for receipt in receipts:
            connection = self.connections.get(receipt.session)
            if connection and receipt.connection == connection.generation:
                ids.setdefault(receipt.session, []).append(receipt.message_id)
        for name, message_ids in ids.items():
            self.connections[name].acknowledge(message_ids)

    def status(self) -> ListenerStatus:
        """The sessions' state, and what the broker dropped."""
        every = [self.connections[name] for name in self._sources]
        errors = [f"stream '{name}': {c.error}" for name, c in self.connections.items() if c.error]
        return ListenerStatus(
            address=every[0].address,
            connected=all(each.connected for each in every),
            ready=all(each.subscribed for each in every),
            error=self._common(errors),
            warning=self._drops.warning,
            figures={
                "connections": sum(each.generation for each in every),
                "sessions_lost": sum(each.sessions_lost for each in every),
                "dropped": self._drops.dropped,
                "refused_subscriptions": {
                    topic_filter: why
                    for each in every
                    for topic_filter, why in each.subscriptions.refused.items()
                },
            },
        )

    def close(self) -> None:
        """Leave; the broker keeps the sessions."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        for connection in self.connections.values():
            connection.close(deadline=deadline)

    def _common(self, errors: list[str]) -> str:
        """What is wrong: without a stream's name where it is the same with all of them."""
        sentences = {each.error for each in self.connections.values()}
        return sentences.pop() if len(sentences) == 1 else "; ".join(errors)

    def _connection(self, name: str) -> MqttConnection:
        source = self._sources.get(name)
        takers = Takers(name, self._sources, self._fresh)
        return MqttConnection(
            self._access,
            self._file.session(name),
            wanted=Subscription(source.mqtt, source.qos) if source else None,
            on_message=lambda message: self._take(name, takers, message),
            warn=self._warn,
            watch=drops.TOPIC if name == self._watcher else "",
            timeout_seconds=self._timeout,
            retry=self._retry,
        )

    def _wait(self, timeout_seconds: float, more: Callable[[str], bool]) -> dict[str, tuple[bool, bool]]:
        """Session → whether its connection is readable and writable; waits until one is."""
        poll, names, ahead = select.poll(), {}, False
        for name, connection in self.connections.items():
            if (sock := connection.sock) is None:
                continue
            wanted = select.POLLOUT if connection.wants_to_write else 0
            if more(name) and connection.has_credit:
                wanted |= select.POLLIN
                ahead = ahead or connection.has_read_ahead
            if wanted:
                poll.register(sock.fileno(), wanted)
                names[sock.fileno()] = name
        due = [each.seconds_until_due() for each in self.connections.values() if not each.is_open]
        wait = 0.0 if ahead else min([timeout_seconds, *(max(each, 0.001) for each in due)])
        found = {
            names[fd]: (bool(event & ~select.POLLOUT), bool(event & select.POLLOUT))
            for fd, event in poll.poll(wait * 1000)
        }
        return {
            name: (readable or self.connections[name].has_read_ahead, writable)
            for name in names.values()
            for readable, writable in [found.get(name, (False, False))]
        }

    def _in_turn(self) -> list[tuple[str, MqttConnection]]:
        """All connections, each turn another one first: a flood for one stream must not starve the others."""
        every = list(self.connections.items())
        first = self._turn % len(every)
        return every[first:] + every[:first]

    def _connected_again(self, name: str) -> None:
        """The broker sends again what is unacknowledged; if it forgot the session, ours is the only copy."""
        connection = self.connections[name]
        current, forgotten = self._seen[name], not connection.session_present
        self._history.connected(connection.client_id, present=not forgotten, now=time.time())

        def revised(receipt: MqttReceipt) -> MqttReceipt | None:
            if receipt.session != name or receipt.connection == current:
                return receipt
            return NOBODY if forgotten else None

        self._intake.revise(revised)

    def _end_drained(self) -> None:
        """End the sessions of removed streams that hold nothing any more."""
        for name in [name for name in self.connections if name not in self._sources]:
            if is_drained(self.connections[name]) and not self._intake.waiting_of(name):
                connection = self.connections.pop(name)
                connection.close(deadline=time.monotonic() + _CLOSE_SECONDS)
                try:
                    end_session(self._access, connection.client_id, timeout_seconds=self._timeout)
                    self._file.forget(name)
                except SourceUnavailable as error:
                    _log.warning(str(error))  # it is still in the file: the next collector ends it

    def _warn(self, sentence: str) -> None:
        """Log what no other session has said."""
        if sentence not in (each.error for each in self.connections.values()):
            _log.warning(sentence)

    def _take(self, name: str, takers: Takers, message: MqttMessage) -> None:
        try:
            event, streams = event_of(message, received_now()), takers.of(message.topic)
        except UnicodeDecodeError:
            event, streams = SpoolEvent(b"", bytes(message.payload), None, received_now()), ()
        if name == self._watcher and event.key == drops.TOPIC.encode():
            if self._drops.saw(event.value or b""):
                _log.warning(self._drops.warning)
            return
        generation = self.connections[name].generation
        receipt = MqttReceipt(name, generation, message.mid) if message.qos else NOBODY
        self._intake.take(event, streams, receipt=receipt, lane=name)
