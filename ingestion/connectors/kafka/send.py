"""Sends to Kafka topics: a message counts as sent once every replica in sync has it (acks=all)."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from ingestion.connectors.kafka.access import KafkaAccess, connection_options
from ingestion.connectors.kafka.peek import missing
from ingestion.connectors.kafka.refusals import translated
from ingestion.connectors.messages import Outgoing
from ingestion.errors import ConfigError, SourceUnavailable

_BROKERS_DEFAULT = -1
"""Of partitions and replicas (KIP-464)."""


class KafkaSender:
    """A producer (messages.Sender).

    Args:
        access: How to reach the cluster.
        timeout_seconds: Bound of connecting and of each message's acknowledgement.
    """

    def __init__(self, access: KafkaAccess, *, timeout_seconds: float) -> None:
        self._access, self._timeout = access, timeout_seconds
        self._producer: Any = None

    def prepare(self, destination: str, *, create: bool) -> None:
        """Refuse a missing topic, or make it with the broker's own number of partitions and replicas."""
        with self._translated():
            admin = KafkaAdminClient(**connection_options(self._access, timeout_seconds=self._timeout))
            try:
                every = {topic["name"] for topic in admin.describe_topics() if not topic["is_internal"]}
                if destination not in every and not create:
                    sentence = missing(destination, every, self._access)
                    raise SourceUnavailable(f"{sentence} (--create makes it)")
                if destination not in every:
                    admin.create_topics([NewTopic(destination, _BROKERS_DEFAULT, _BROKERS_DEFAULT)])
            finally:
                admin.close()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send, and wait for the acknowledgement of each."""
        with self._translated():
            producer = self._connect()
            if any(message.value is None and message.key is None for message in messages):
                raise ConfigError("a tombstone deletes what a key stands for: give it a key")
            waiting = [
                producer.send(
                    message.destination,
                    message.value,
                    key=message.key,
                    headers=[(name, text.encode()) for name, text in message.headers.items()],
                )
                for message in messages
            ]
            deadline = time.monotonic() + self._timeout
            for future in waiting:
                future.get(timeout=max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Close the connection; everything was acknowledged or reported before."""
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None

    def _connect(self) -> Any:
        if self._producer is None:
            # The embedded broker reports as a topic's end the first position of its last record batch plus
            # one: the batch's other records would stay unseen, so each record gets a batch of its own.
            self._producer = KafkaProducer(
                **connection_options(self._access, timeout_seconds=self._timeout),
                acks="all",
                batch_size=0,
                linger_ms=0,
                max_block_ms=int(self._timeout * 1000),
                delivery_timeout_ms=int(self._timeout * 1000),
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        return self._producer

    def _translated(self) -> AbstractContextManager[None]:
        where = f"Kafka at {self._access.bootstrap_servers}"
        return translated(where, self._access, missing=f"{where} lost the topic that is sent to; create it")
