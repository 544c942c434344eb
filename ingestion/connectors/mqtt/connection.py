"""A session with an MQTT broker: connect, exchange, acknowledge, come back after a loss.

It runs in its caller's thread and keeps no message. What is done with them: ingestion/collect/collector.py;
what it is subscribed to: subscriptions.py; what MQTT 3.1.1 and 5 say differently: protocol.py.
"""

import random
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.reasoncodes import ReasonCode

from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.message import MqttMessage
from ingestion.connectors.mqtt.protocol import connect, make_client
from ingestion.connectors.mqtt.retry import (
    REFUSED_CREDENTIALS,
    TAKEN_OVER,
    Retry,
    refused,
    taken_over,
    unreachable,
)
from ingestion.connectors.mqtt.session import Session
from ingestion.connectors.mqtt.subscriptions import Subscriptions
from ingestion.connectors.mqtt.topics import Subscription

_EVICTIONS_REPORTED = 3
"""Connections in a row that ended within the longest wait."""

_log = structlog.get_logger(__name__)


class MqttConnection:
    """A persistent session; every message is handed to `on_message` and stays unacknowledged.

    Args:
        access: Address, credentials and TLS.
        session: Client id and known subscriptions.
        wanted: What to subscribe to; None for the session of a stream that was removed.
        on_message: Takes a message; must not block.
        warn: Takes a sentence when something new is wrong.
        watch: A further topic, at QoS 0 and no part of the session; a broker may refuse it.
        timeout_seconds: Bound of an attempt to connect.
        retry: Waits between attempts.

    Attributes:
        address: host:port of the broker.
        generation: Counts connections; a message id is good for the connection that brought it.
        is_open: There is a socket, or was one until a moment ago.
        connected: The broker has accepted us.
        session_present: At the last connection the broker still knew the session.
        sessions_lost: How often it did not, although there had been one.
        heard_at: When the last message came, or the connection began (monotonic seconds).
        subscriptions: What the session is subscribed to.
    """

    def __init__(
        self,
        access: MqttAccess,
        session: Session,
        *,
        wanted: Subscription | None,
        on_message: Callable[[MqttMessage], None],
        warn: Callable[[str], None],
        watch: str = "",
        timeout_seconds: float,
        retry: Retry,
    ) -> None:
        self.address = access.address
        self.generation = 0
        self.is_open = self.connected = False
        self.session_present = False
        self.sessions_lost = 0
        self.heard_at = 0.0
        self._access, self._session = access, session
        self._timeout, self._retry, self._warn = timeout_seconds, retry, warn
        self._error = ""
        self._received = self._unacknowledged = 0
        self._failures = 0
        self._attempted = 0.0
        self._next_attempt = 0.0
        self._evictions = 0
        self._watch, self._watch_asked = watch, 0
        self._client = make_client(access, session.client_id, timeout_seconds=timeout_seconds)
        self.subscriptions = Subscriptions(self._client, access, session, wanted, retry)

        def received(_client: Client, _data: object, message: MQTTMessage) -> None:
            self._received += 1
            self._unacknowledged += message.qos > 0
            self.heard_at = time.monotonic()
            on_message(message)

        self._client.on_message = received
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = lambda _client, _data, asked, *_: self.subscriptions.unsubscribed(asked)

    @property
    def client_id(self) -> str:
        """Under which name the broker keeps the session."""
        return self._session.client_id

    @property
    def error(self) -> str:
        """What is wrong now, as one sentence; empty when all is well."""
        return self._error or (self.subscriptions.error if self.connected else "")

    @property
    def subscribed(self) -> bool:
        """Connected, and the broker holds what is declared and nothing else."""
        return self.connected and self.subscriptions.are_settled

    @property
    def has_credit(self) -> bool:
        """Whether another message may wait for its acknowledgement; MQTT 5 says so to the broker, too."""
        return not self.connected or self._unacknowledged < self._access.max_inflight

    @property
    def sock(self) -> socket.socket | None:
        """What to wait for; None without a connection."""
        sock = self._client.socket() if self.is_open else None
        return sock if isinstance(sock, socket.socket) else None

    @property
    def wants_to_write(self) -> bool:
        """Packets wait to be sent."""
        return bool(self._client.want_write())

    @property
    def has_read_ahead(self) -> bool:
        """Bytes have left the socket and were not looked at yet (TLS)."""
        sock = self.sock
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def seconds_until_due(self) -> float:
        """How long the next attempt to connect has to wait."""
        return max(0.0, self._next_attempt - time.monotonic())

    def open(self) -> None:
        """Try to connect; the broker's answer comes later."""
        self._attempted = time.monotonic()
        self.is_open = True
        try:
            connect(self._client, self._access)
        except (OSError, ValueError) as error:
            self._failed(unreachable(self.address, error))

    def exchange(
        self, *, readable: bool, writable: bool, more: Callable[[], bool], may_leave: bool = True
    ) -> None:
        """Send what waits and take in what is there while `more()`.

        Args:
            readable: The socket has something.
            writable: The socket takes something.
            more: Whether another message may be taken.
            may_leave: As in Subscriptions.tend.
        """
        try:
            if self._client.socket() is None:
                self._lost("was lost")
            if writable and self.is_open:
                self._client.loop_write()
            # The library reads one packet a call and does not tell whether there was one.
            before = -1
            while readable and self.is_open and self._received != before and self.has_credit and more():
                before = self._received
                if self._client.loop_read():
                    break
            if self.is_open:
                self._client.loop_misc()
        except Exception as error:
            # Malformed packets surface from the library as struct, index or value errors.
            self._lost(f"broke off ({type(error).__name__}: {error})")
        if self.is_open and not self.connected and time.monotonic() - self._attempted > self._timeout:
            self._lost("got no answer in time")
        if self.connected:
            self.subscriptions.tend(may_leave=may_leave)

    def acknowledge(self, message_ids: Iterable[int]) -> None:
        """Tell the broker that these are safe, in the order in which they came."""
        try:
            for message_id in message_ids:
                if not self.connected:
                    return
                self._client.ack(message_id, 1)
                self._unacknowledged -= 1
        except (OSError, ValueError) as error:
            self._lost(f"broke off ({error})")

    def close(self, *, deadline: float) -> None:
        """Send what is queued and leave; the broker keeps the session.

        Args:
            deadline: When to give up, in seconds of the monotonic clock.
        """
        sock, self.connected, self._error = self.sock, False, ""
        self.is_open = False
        if sock is None:
            return
        # Closing with unread messages would reset the connection, and our last acknowledgements with it.
        with socket.socket(fileno=_duplicate(sock)) as raw:
            raw.settimeout(0.05)
            self._client.disconnect()
            while self._client.want_write() and time.monotonic() < deadline:
                with suppress(OSError):
                    raw.recv(65_536)
                self._client.loop_write()
            with suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline:
                try:
                    if not raw.recv(65_536):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break

    def _lost(self, what: str) -> None:
        """Give up a connection that is of no use any more."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._failed(f"the connection to the MQTT broker at {self.address} {what}; it is being tried again")

    def _failed(self, error: str, *, wait_long: bool = False) -> None:
        if not self.is_open:
            return
        now = time.monotonic()
        lived = now - self._attempted if self.connected else 0.0
        self._failures = 1 if lived >= self._retry.stable_seconds else self._failures + 1
        # Spreads clients; nothing depends on its being secret.
        chance = random.random()  # noqa: S311
        self._next_attempt = now + self._retry.delay(99 if wait_long else self._failures, chance=chance)
        self.is_open = self.connected = False
        if error != self._error:
            self._warn(error)
        self._error = error

    def _on_connect(
        self, _client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._refused_by_broker(str(reason))
            return
        self.generation += 1
        self._unacknowledged = 0
        self.connected = True
        self.heard_at = time.monotonic()
        self._error = ""
        self.session_present = flags.session_present
        if not flags.session_present and self._session.subscriptions:
            self.sessions_lost += 1
            _log.warning(
                "the broker forgot the session; messages sent while we were away may be lost",
                broker=self.address,
                client_id=self.client_id,
            )
        _log.info("connected", client_id=self.client_id, session_present=flags.session_present)
        self.subscriptions.resume(session_present=flags.session_present)
        if self._watch_asked:  # the broker hung up instead of an answer
            self._watch = ""
        if self._watch:
            self._watch_asked = self._client.subscribe(self._watch, 0)[1] or 0

    def _on_subscribe(
        self, _client: Client, _data: object, asked: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if asked == self._watch_asked:
            self._watch_asked = 0
            return
        self.subscriptions.subscribed(asked, reasons, address=self.address)
        if self.subscriptions.error:
            self._warn(self.subscriptions.error)

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if not flags.is_disconnect_packet_from_server and str(reason) == "Protocol error":
            self._lost("brought what cannot be read")
        elif self.connected:
            lived = time.monotonic() - self._attempted
            named = str(reason) == TAKEN_OVER
            self._evictions = self._evictions + 1 if lived < self._retry.most_seconds else 1
            if named or self._evictions >= _EVICTIONS_REPORTED:
                self._failed(taken_over(self.address, self.client_id, named=named), wait_long=True)
                return
            why = f"was closed by it ({reason})" if flags.is_disconnect_packet_from_server else "was lost"
            self._lost(why)
        else:
            self._refused_by_broker("it hung up")

    def _refused_by_broker(self, reason: str) -> None:
        error = refused(self.address, reason, self._access.username)
        self._failed(error, wait_long=reason in REFUSED_CREDENTIALS)


def _duplicate(sock: socket.socket) -> int:
    return socket.dup(sock.fileno())
