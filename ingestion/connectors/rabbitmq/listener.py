"""RabbitMQ queues → events for streams, and acknowledgements back once they are durable.

One connection, a channel a queue (consumer.py). Prefetch is the credit: what is not acknowledged holds the
broker back, of that queue alone.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import structlog

from ingestion.connectors.intake import NOBODY, Intake
from ingestion.connectors.listener import ListenerStatus
from ingestion.connectors.rabbitmq.access import RabbitAccess, parameters
from ingestion.connectors.rabbitmq.connection import CONNECTION_ERRORS, close, connect, exchange
from ingestion.connectors.rabbitmq.consumer import QueueConsumer
from ingestion.connectors.rabbitmq.declare import RabbitSource
from ingestion.connectors.rabbitmq.refusals import not_connected
from ingestion.connectors.rabbitmq.retry import Attempts, Retry
from ingestion.errors import ConfigError, SourceUnavailable

_COUNT_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class RabbitReceipt(NamedTuple):
    """Which delivery of which channel of a queue to acknowledge."""

    queue: str
    channel: int
    tag: int


class RabbitListener:
    """Consumes the queues of several streams (connectors/listener.py). Those of one queue share a consumer.

    Args:
        sources: Stream's name → its source.
        access: How the broker is reached.
        intake: Takes the events; a lane is a queue.
        timeout_seconds: Bound of an attempt to connect.
        retry: Waits between attempts.

    Raises:
        ConfigError: No broker is configured, the certificate file cannot be used, or two streams want one
            queue in different ways.
    """

    def __init__(
        self,
        sources: Mapping[str, RabbitSource],
        access: RabbitAccess,
        *,
        intake: Intake,
        timeout_seconds: float,
        retry: Retry,
    ) -> None:
        parameters(access, "", timeout_seconds=timeout_seconds)
        self._access, self._intake, self._timeout = access, intake, timeout_seconds
        self._streams = _by_queue(sources)
        self._consumers = {
            queue: QueueConsumer(sources[streams[0]], access, retry)
            for queue, streams in self._streams.items()
        }
        self._attempts = Attempts(retry)
        self._connection: Any = None
        self._connections = 0
        self._error = ""
        self._queued: dict[str, int] = {}
        self._counted_at = 0.0

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        """Take in what the broker delivers; connect, and consume, what is due."""
        if self._connection is None and not self._connect(timeout_seconds):
            return
        try:
            for consumer in self._consumers.values():
                if not consumer.is_consuming and not consumer.seconds_until_due():
                    consumer.open(self._connection)
            waits = any(each.delivered and more(each.name) for each in self._consumers.values())
            exchange(self._connection, seconds=0 if waits else timeout_seconds)
            self._count()
        except CONNECTION_ERRORS as error:
            self._lost(error)
        for consumer in self._consumers.values():
            channel = consumer.generation
            if (comes := consumer.look()) is not None:
                self._revise(consumer.name, channel, None if comes == "again" else NOBODY)
            self._hand_over(consumer, more)

    def acknowledge(self, receipts: Iterable[RabbitReceipt]) -> None:
        """Acknowledge what today's channels brought; what an earlier one brought is sent again anyway."""
        newest: dict[str, int] = {}
        for receipt in receipts:
            if receipt.channel == self._consumers[receipt.queue].generation:
                newest[receipt.queue] = receipt.tag
        try:
            for queue, tag in newest.items():
                self._consumers[queue].acknowledge(tag)
        except CONNECTION_ERRORS as error:
            self._lost(error)

    def status(self) -> ListenerStatus:
        """The connection's and the consumers' state, and what waits at the broker."""
        consumers = self._consumers.values()
        errors = [self._error, *(each.error for each in consumers)]
        return ListenerStatus(
            address=self._access.address,
            connected=self._connection is not None,
            ready=self._connection is not None and all(each.is_consuming for each in consumers),
            error="; ".join(dict.fromkeys(filter(None, errors))),
            figures={
                "connections": self._connections,
                "redelivered": sum(each.redelivered for each in consumers),
                "queued": dict(self._queued),
            },
        )

    def close(self) -> None:
        """Leave; what is not acknowledged goes back to its place in the queue."""
        close(self._connection)
        self._connection = None

    def _connect(self, timeout_seconds: float) -> bool:
        if wait := self._attempts.seconds_until_due():
            time.sleep(min(wait, timeout_seconds))
            return False
        try:
            self._connection = connect(self._access, "collector", timeout_seconds=self._timeout)
        except SourceUnavailable as error:
            self._failed(str(error))
            return False
        self._attempts.began()
        self._connections += 1
        self._error = ""
        return True

    def _lost(self, error: BaseException) -> None:
        close(self._connection)
        self._connection = None
        self._failed(not_connected(self._access, error))
        for consumer in self._consumers.values():
            consumer.lost()
            self._revise(consumer.name, consumer.generation, None)

    def _failed(self, error: str) -> None:
        if error != self._error:
            _log.warning(error)
        self._error = error
        self._attempts.failed()

    def _revise(self, queue: str, channel: int, receipt: str | None) -> None:
        """What waits to be stored of a channel that is gone: dropped, or stored without acknowledgement."""
        self._intake.revise(lambda each: receipt if each[:2] == (queue, channel) else each)

    def _hand_over(self, consumer: QueueConsumer, more: Callable[[str], bool]) -> None:
        streams = self._streams[consumer.name]
        while consumer.delivered and more(consumer.name):
            event, channel, tag = consumer.delivered.popleft()
            known = channel == consumer.generation
            receipt = RabbitReceipt(consumer.name, channel, tag) if known else NOBODY
            self._intake.take(event, streams, receipt=receipt, lane=consumer.name)

    def _count(self) -> None:
        """Ask now and then how much waits at the broker."""
        now = time.monotonic()
        if now - self._counted_at >= _COUNT_SECONDS:
            self._counted_at = now
            counts = {each.name: each.count() for each in self._consumers.values()}
            self._queued = {name: count for name, count in counts.items() if count is not None}


def _by_queue(sources: Mapping[str, RabbitSource]) -> dict[str, tuple[str, ...]]:
    """Queue → the streams that take its messages: each takes them all."""
    found: dict[str, tuple[str, ...]] = {}
    for name, source in sources.items():
        queue = source.rabbitmq.name
        first = next(iter(found.get(queue, ())), name)
        if sources[first] != source:
            raise ConfigError(
                f"streams '{first}' and '{name}' consume the queue '{queue}' with different options; a queue "
                "has one consumer here: give both the same"
            )
        found[queue] = (*found.get(queue, ()), name)
    return found
