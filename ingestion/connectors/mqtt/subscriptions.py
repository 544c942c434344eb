"""Brings a session to what is declared, without a gap: asks for the new filter before it leaves the old.

When the connection comes and goes is in connection.py.
"""

import math
import time

import structlog
from paho.mqtt.client import Client
from paho.mqtt.reasoncodes import ReasonCode

from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.protocol import subscribe
from ingestion.connectors.mqtt.retry import Retry, refused_subscription
from ingestion.connectors.mqtt.session import Session
from ingestion.connectors.mqtt.topics import Subscription
from ingestion.errors import StorageError

_log = structlog.get_logger(__name__)


class Subscriptions:
    """What one session is subscribed to, and what it should be.

    Args:
        client: The session's client.
        access: The protocol, and the user that a refusal names.
        session: What the broker is thought to hold.
        wanted: What is declared; None where the stream was removed.
        retry: When a refused subscription is tried again and a known one is repeated.

    Attributes:
        refused: Topic filter → why the broker refused it.
        error: The newest refusal as a sentence; empty when there is none.
    """

    def __init__(
        self, client: Client, access: MqttAccess, session: Session, wanted: Subscription | None, retry: Retry
    ) -> None:
        self.refused: dict[str, str] = {}
        self.error = ""
        self._client, self._access, self._session, self._retry = client, access, session, retry
        terms = f"QoS {wanted.qos}, MQTT {access.protocol}" if wanted else ""
        self._wanted = {wanted.filter: (wanted, terms)} if wanted else {}
        self._asked: dict[int, str] = {}
        self._left: dict[int, str] = {}
        self._asked_at = 0.0
        self._renew_at = math.inf

    @property
    def are_settled(self) -> bool:
        """The broker holds what is declared and nothing else."""
        return self._session.subscriptions == self._terms

    @property
    def are_answered(self) -> bool:
        """The broker has granted or refused everything that is declared."""
        known = self._session.subscriptions
        return all(f in self.refused or known.get(f) == terms for f, terms in self._terms.items())

    def resume(self, *, session_present: bool) -> None:
        """Subscribe to what is missing now, and to everything a little later.

        After a crash the broker may have restored an older session.
        """
        self._asked, self._left = {}, {}
        if not session_present:
            self._remember({})
            self._ask(again=True)
            return
        age = time.time() - self._session.renewed_at
        wait = 0.0
        if not self._access.is_version_5 and 0 <= age < self._retry.renew_seconds:
            wait = self._retry.renew_seconds - age
        self._ask(again=not wait)
        self._renew_at = time.monotonic() + wait if wait else math.inf

    def tend(self, *, may_leave: bool) -> None:
        """Repeat what was refused or is due, and leave what is not declared.

        Args:
            may_leave: The broker has answered what every session asked for, so that leaving makes no gap.
        """
        now = time.monotonic()
        if self.refused and now - self._asked_at > self._retry.most_seconds:
            self._ask()
        if now >= self._renew_at:
            self._ask(again=True)
        if may_leave and self.are_answered and not self.refused and not self._left:
            for topic_filter in self._session.subscriptions.keys() - self._terms.keys():
                asked = self._client.unsubscribe(topic_filter)[1]
                if asked is not None:
                    self._left[asked] = topic_filter

    def subscribed(self, asked: int, reasons: list[ReasonCode], *, address: str) -> None:
        """Take the broker's answer to a subscription."""
        topic_filter = self._asked.pop(asked, None)
        if topic_filter is None:
            return
        if not any(reason.is_failure for reason in reasons):
            self._remember(self._session.subscriptions | {topic_filter: self._terms[topic_filter]})
            return
        self.refused[topic_filter] = str(reasons[0])
        self.error = refused_subscription(
            address, topic_filter, reason=str(reasons[0]), user=self._access.username
        )

    def unsubscribed(self, asked: int) -> None:
        """Take the broker's word that it has ended a subscription."""
        topic_filter = self._left.pop(asked, None)
        if topic_filter is not None:
            held = self._session.subscriptions
            self._remember({name: terms for name, terms in held.items() if name != topic_filter})

    @property
    def _terms(self) -> dict[str, str]:
        return {topic_filter: terms for topic_filter, (_, terms) in self._wanted.items()}

    def _ask(self, *, again: bool = False) -> None:
        """Ask for what the session lacks; `again`: ask also for what it is thought to hold."""
        self.refused, self.error, self._asked_at = {}, "", time.monotonic()
        if again:
            self._renew_at = math.inf
            self._remember(self._session.subscriptions, renewed_at=time.time())
        for topic_filter, (subscription, terms) in self._wanted.items():
            if again or self._session.subscriptions.get(topic_filter) != terms:
                asked = subscribe(self._client, self._access, subscription)
                if asked is not None:
                    self._asked[asked] = topic_filter

    def _remember(self, subscriptions: dict[str, str], *, renewed_at: float | None = None) -> None:
        """A record that cannot be written costs a repeated subscription at the next connection, no more."""
        try:
            self._session.remember(subscriptions, renewed_at=renewed_at)
        except StorageError as error:
            _log.warning(str(error))
