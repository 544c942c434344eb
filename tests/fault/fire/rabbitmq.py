"""A quorum queue and a stream of RabbitMQ under fire; the broker is killed and comes back on its disk."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pika
from pika.exceptions import AMQPError

from orchestration.services.rabbitmq import LocalRabbitMq
from tests.fault.fire.source import Place, Sent, number_of, payload
from tests.servers.rabbitmq import RabbitMq

UNCONFIRMED = 2_000
"""So many may be under way at once."""
_SILENT_SECONDS = 15.0
"""A channel that confirms nothing for so long is given up. RabbitMQ 3.10 starts a stream's writer several
times when it comes back from a crash, and one that a channel has found in between never answers."""
_QUIET_SECONDS = 5.0
_PERSISTENT = pika.BasicProperties(delivery_mode=2)


class RabbitUnderFire:
    """A queue or a stream of a broker that only this test uses (source.Source)."""

    def __init__(self, server: LocalRabbitMq, broker: RabbitMq, name: str, *, is_stream: bool) -> None:
        broker.declare(name, "stream" if is_stream else "quorum")
        # One that is killed soon after a declaration may come back without it: a stop puts it on the disk.
        server.stop()
        server.start()
        self._server, self._broker, self._name, self._is_stream = server, broker, name, is_stream
        self.declared = {"rabbitmq": {"stream" if is_stream else "queue": name}}
        self.settings = {"rabbitmq_host": broker.host, "rabbitmq_port": broker.port}
        self.collector = "" if is_stream else "rabbitmq"
        self.once, self.mark = is_stream, "" if is_stream else "redelivered"
        self.sent = Sent()

    def send(self, numbers: Sequence[int]) -> None:
        publisher = Publisher(self._broker, self._name, numbers)
        while publisher.left:
            unconfirmed = publisher.run()
            self.sent.repeat(unconfirmed)
            if unconfirmed or publisher.left:
                time.sleep(0.2)
        self.sent.confirm(numbers)
        self.sent.returned += publisher.returned

    def strike(self) -> str:
        self._server.kill()
        self._server.start()
        return "broker"

    def heal(self) -> None:
        # RabbitMQ 3.10 replays its log of streams after a crash, each start of a writer once more; should the
        # last one have failed (`invalid_epoch`), none comes until the broker starts again.
        print("RabbitMQ is started again: its stream gives nothing")
        self._server.stop()
        self._server.start()

    def kept(self) -> dict[Place, int] | None:
        if not self._is_stream:
            return None
        found: dict[Place, int] = {}
        with self._broker.channel() as channel:
            channel.basic_qos(prefetch_count=5_000)
            arrived = channel.consume(
                self._name, arguments={"x-stream-offset": "first"}, inactivity_timeout=_QUIET_SECONDS
            )
            for method, properties, body in arrived:
                if method is None:  # nothing came for so long
                    break
                found[self._name, properties.headers["x-stream-offset"]] = number_of(body)
                if len(found) % 1_000 == 0:
                    channel.basic_ack(method.delivery_tag, multiple=True)
            channel.cancel()
        return found

    def close(self) -> None:
        """Nothing is open between two calls."""


class Publisher:
    """Publishes numbers with many unconfirmed at once, as long as its connection lives.

    What comes back is sent again: right after a start, RabbitMQ confirms what it has no queue for yet.

    Attributes:
        left: What is to be sent, or sent again.
        returned: How many messages came back.
    """

    def __init__(self, broker: RabbitMq, queue: str, numbers: Iterable[int]) -> None:
        self._broker, self._queue = broker, queue
        self.left = deque(numbers)
        self.returned = 0
        self._under_way: dict[int, int] = {}
        self._returned = set[int]()
        self._tag = 0
        self._channel: Any = None

    def run(self) -> list[int]:
        """Send until all is confirmed or the connection ends; what was sent then and not confirmed."""
        self._under_way, self._tag, self._channel = {}, 0, None
        self._heard_at = time.monotonic()
        options = pika.ConnectionParameters(self._broker.host, self._broker.port, heartbeat=10)
        connection = pika.SelectConnection(
            options, on_open_callback=self._opened, on_open_error_callback=self._ended,
            on_close_callback=self._ended,
        )  # fmt: skip
        with suppress(AMQPError, OSError):
            connection.ioloop.start()
        unconfirmed = list(self._under_way.values())
        self.left.extendleft(reversed(unconfirmed))
        return unconfirmed

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._begin)

    def _begin(self, channel: Any) -> None:
        self._channel = channel
        self._watch()
        channel.add_on_close_callback(lambda channel, _: channel.connection.ioloop.stop())
        channel.confirm_delivery(self._answered)
        channel.add_on_return_callback(lambda *event: self._returned.add(number_of(event[3])))
        self._send_more()

    def _watch(self) -> None:
        connection = self._channel.connection
        if connection.is_open and time.monotonic() - self._heard_at > _SILENT_SECONDS:
            connection.close()
        elif connection.is_open:
            connection.ioloop.call_later(1.0, self._watch)

    def _send_more(self) -> None:
        while self.left and len(self._under_way) < UNCONFIRMED:
            number = self.left.popleft()
            self._tag += 1
            self._under_way[self._tag] = number
            self._channel.basic_publish("", self._queue, payload(number), _PERSISTENT, mandatory=True)
        if not self.left and not self._under_way:
            self._channel.connection.close()

    def _answered(self, frame: Any) -> None:
        self._heard_at = time.monotonic()
        tag, is_refusal = frame.method.delivery_tag, isinstance(frame.method, pika.spec.Basic.Nack)
        if frame.method.multiple:
            tags = [each for each in self._under_way if each <= tag]
        else:
            tags = [tag] if tag in self._under_way else []
        for each in tags:
            number = self._under_way.pop(each)
            if is_refusal or number in self._returned:
                self.returned += number in self._returned
                self._returned.discard(number)
                self.left.append(number)
        if len(self._under_way) < UNCONFIRMED // 2:
            self._send_more()

    def _ended(self, connection: Any, _: object) -> None:
        connection.ioloop.stop()
