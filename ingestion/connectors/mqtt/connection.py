"""A session with an MQTT broker: connect, subscribe, pump, acknowledge, come back after a loss.

It runs in its caller's thread and keeps no message. What is done with them: ingestion/collect/collector.py;
what MQTT 3.1.1 and 5 say differently: protocol.py.
"""

import math
import os
import random
import select
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
from ingestion.connectors.mqtt.protocol import connect, make_client, subscribe
from ingestion.connectors.mqtt.retry import (
    REFUSED_CREDENTIALS,
    TAKEN_OVER,
    Retry,
    refused,
    refused_subscription,
    taken_over,
    unreachable,
)
from ingestion.connectors.mqtt.session import SessionFile
from ingestion.connectors.mqtt.topics import Subscription
from ingestion.errors import StorageError

_EVICTIONS_REPORTED = 3
"""Connections in a row that ended within the longest wait."""

_log = structlog.get_logger(__name__)


class MqttConnection:
    """A persistent session; every message is handed to `on_message` and stays unacknowledged.

    Args:
        access: Address, credentials and TLS.
        session: Client id and known subscriptions.
        subscriptions: What to subscribe to.
        on_message: Takes a message; must not block.
        watch: A further topic, at QoS 0 and no part of the session; a broker may refuse it.
        timeout_seconds: Bound of an attempt to connect.
        retry: Waits between attempts.

    Attributes:
        address: host:port of the broker.
        generation: Counts connections; a message id is good for the connection that brought it.
        connected: The broker has accepted us.
        session_present: At the last connection the broker still knew the session.
        sessions_lost: How often it did not, although there had been one.
        error: What is wrong now, as one sentence; empty when all is well.
        refused: Topic filter → why the broker refused it.
    """

    def __init__(
        self,
        access: MqttAccess,
        session: SessionFile,
        *,
        subscriptions: tuple[Subscription, ...],
        on_message: Callable[[MqttMessage], None],
        watch: str = "",
        timeout_seconds: float,
        retry: Retry,
    ) -> None:
        self.address = access.address
        self.generation = 0
        self.connected = False
        self.session_present = False
        self.sessions_lost = 0
        self.error = ""
        self.refused: dict[str, str] = {}
        self._access = access
        self._timeout = timeout_seconds
        self._session = session
        self._subscriptions = subscriptions
        self._retry = retry
        self._received = 0
        self._failures = 0
        self._attempted = 0.0
        self._next_attempt = 0.0
        self._open = False
        self._asked: dict[int, Subscription] = {}
        self._asked_at = 0.0
        self._evictions = 0
        self._renew_at = math.inf
        self._watch, self._watch_asked = watch, 0
        self._client = make_client(access, session.client_id, timeout_seconds=timeout_seconds)

        def received(_client: Client, _data: object, message: MQTTMessage) -> None:
            self._received += 1
            on_message(message)

        self._client.on_message = received
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe

    @property
    def subscribed(self) -> bool:
        """Connected, and the broker has granted every subscription."""
        wanted = {subscription.filter: self._terms(subscription) for subscription in self._subscriptions}
        return self.connected and self._session.subscriptions == wanted

    def pump(self, timeout_seconds: float, *, more: Callable[[], bool]) -> None:
        """Wait for the broker, then take in what is there while `more()`; connect first where that is due."""
        if not self._open:
            self._connect(timeout_seconds)
            return
        try:
            self._exchange(timeout_seconds, more)
        except Exception as error:
            # Malformed packets surface from the library as struct, index or value errors.
            self._lost(f"broke off ({type(error).__name__}: {error})")
        now = time.monotonic()
        if self._open and not self.connected and now - self._attempted > self._timeout:
            self._lost("got no answer in time")
        if self.connected and self.refused and now - self._asked_at > self._retry.most_seconds:
            self._subscribe(self._session.subscriptions)
        if self.connected and now >= self._renew_at:
            self._subscribe(self._session.subscriptions, again=True)

    def acknowledge(self, message_ids: Iterable[int]) -> None:
        """Tell the broker that these are safe, in the order in which they came."""
        try:
            for message_id in message_ids:
                if not self.connected:
                    return
                self._client.ack(message_id, 1)
        except (OSError, ValueError) as error:
            self._lost(f"broke off ({error})")

    def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Send what is queued and leave; the broker keeps the session."""
        deadline = time.monotonic() + timeout_seconds
        open_, self._open, self.connected, self.error = self._open, False, False, ""
        sock = self._client.socket()
        if not open_ or sock is None:
            return
        # Closing with unread messages would reset the connection, and our last acknowledgements with it.
        with socket.socket(fileno=os.dup(sock.fileno())) as raw:
            self._client.disconnect()
            while self._client.want_write() and time.monotonic() < deadline:
                select.select([], [raw], [], 0.05)
                self._client.loop_write()
            with suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
                while time.monotonic() < deadline:
                    if select.select([raw], [], [], 0.05)[0] and not raw.recv(65_536):
                        break

    def _connect(self, timeout_seconds: float) -> None:
        now = time.monotonic()
        if now < self._next_attempt:
            time.sleep(min(timeout_seconds, self._next_attempt - now))
            return
        self._attempted = now
        self._open = True
        try:
            connect(self._client, self._access)
        except (OSError, ValueError) as error:
            self._failed(unreachable(self.address, error))

    def _exchange(self, timeout_seconds: float, more: Callable[[], bool]) -> None:
        sock = self._client.socket()
        if sock is None:
            self._lost("was lost")
            return
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writing = [sock] if self._client.want_write() else []
        readable, writable, _ = select.select([sock], writing, [], 0 if pending else timeout_seconds)
        if writable:
            self._client.loop_write()
        # The library reads one packet a call and does not tell whether there was one.
        before = -1
        while (readable or pending) and self._received != before and more():
            before = self._received
            if self._client.loop_read():
                return
        self._client.loop_misc()

    def _lost(self, what: str) -> None:
        """Give up a connection that is of no use any more."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._failed(f"the connection to the MQTT broker at {self.address} {what}; it is being tried again")

    def _failed(self, error: str, *, wait_long: bool = False) -> None:
        if not self._open:
            return
        now = time.monotonic()
        lived = now - self._attempted if self.connected else 0.0
        self._failures = 1 if lived >= self._retry.stable_seconds else self._failures + 1
        # Spreads clients; nothing depends on its being secret.
        chance = random.random()  # noqa: S311
        delay = self._retry.delay(99 if wait_long else self._failures, chance=chance)
        self._next_attempt = now + delay
        self._open = self.connected = False
        if error != self.error:
            _log.warning(error, retry_seconds=round(delay, 1))
        self.error = error

    def _on_connect(
        self, _client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._refused_by_broker(str(reason))
            return
        self.generation += 1
        self.connected = True
        self.error = ""
        self.session_present = flags.session_present
        if not flags.session_present and self._session.subscriptions:
            self.sessions_lost += 1
            _log.warning(
                "the broker forgot the session; messages sent while we were away may be lost",
                broker=self.address,
                client_id=self._session.client_id,
            )
        _log.info("connected", broker=self.address, session_present=flags.session_present)
        self._resume(flags.session_present)
        if self._watch_asked:  # the broker hung up instead of an answer
            self._watch = ""
        if self._watch:
            self._watch_asked = self._client.subscribe(self._watch, 0)[1] or 0

    def _resume(self, session_present: bool) -> None:
        """Subscribe to what is missing now, and to everything a little later.

        After a crash the broker may have restored an older session.
        """
        if not session_present:
            self._subscribe({}, again=True)
            return
        age = time.time() - self._session.renewed_at
        wait = 0.0
        if not self._access.is_version_5 and 0 <= age < self._retry.renew_seconds:
            wait = self._retry.renew_seconds - age
        self._subscribe(self._session.subscriptions, again=not wait)
        self._renew_at = time.monotonic() + wait if wait else math.inf

    def _subscribe(self, current: dict[str, str], *, again: bool = False) -> None:
        """Bring the session to what is declared; `again`: ask also for what it is thought to hold."""
        wanted = {subscription.filter: self._terms(subscription) for subscription in self._subscriptions}
        self.refused, self._asked, self._asked_at = {}, {}, time.monotonic()
        for topic_filter in current.keys() - wanted.keys():
            self._client.unsubscribe(topic_filter)
        kept = {f: terms for f, terms in current.items() if wanted.get(f) == terms}
        self._remember(kept, renewed_at=time.time() if again else None)
        if again:
            self._renew_at = math.inf
        for subscription in self._subscriptions:
            if again or subscription.filter not in self._session.subscriptions:
                asked = subscribe(self._client, self._access, subscription)
                if asked is not None:
                    self._asked[asked] = subscription

    def _on_subscribe(
        self, _client: Client, _data: object, asked: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if asked == self._watch_asked:
            self._watch_asked = 0
        subscription = self._asked.pop(asked, None)
        if subscription is None:
            return
        if not any(reason.is_failure for reason in reasons):
            self._remember(self._session.subscriptions | {subscription.filter: self._terms(subscription)})
            return
        self.refused[subscription.filter] = str(reasons[0])
        self.error = refused_subscription(
            self.address, subscription.filter, reason=str(reasons[0]), user=self._access.username
        )
        _log.warning(self.error)

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
                self._failed(taken_over(self.address, self._session.client_id, named=named), wait_long=True)
                return
            why = f"was closed by it ({reason})" if flags.is_disconnect_packet_from_server else "was lost"
            self._lost(why)
        else:
            self._refused_by_broker("it hung up")

    def _refused_by_broker(self, reason: str) -> None:
        error = refused(self.address, reason, self._access.username)
        self._failed(error, wait_long=reason in REFUSED_CREDENTIALS)

    def _terms(self, subscription: Subscription) -> str:
        return f"QoS {subscription.qos}, MQTT {self._access.protocol}"

    def _remember(self, subscriptions: dict[str, str], *, renewed_at: float | None = None) -> None:
        """A record that cannot be written costs a repeated subscription at the next connection, no more."""
        try:
            self._session.remember(subscriptions, renewed_at=renewed_at)
        except StorageError as error:
            _log.warning(str(error))
