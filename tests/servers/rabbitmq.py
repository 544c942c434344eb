"""A RabbitMQ (Debian package) on 127.0.0.1 with a TLS listener, a second vhost and a user of few rights.

How it is started is in orchestration/services/rabbitmq.py; the one of the run is shared (keeper.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika

from orchestration.services.rabbitmq import LocalRabbitMq, rabbitmq_program
from tests.servers import SECURED_PASSWORD, SECURED_USER, ServerMissing
from tests.servers.ports import free_ports

GUARDED = "guarded"
"""A virtual host in which the user of few rights may read queues whose names begin with `open`."""


@dataclass(frozen=True)
class RabbitMq:
    """How tests reach a running broker.

    Attributes:
        port: Without encryption.
        tls_port: With the certificates of the run; 0 without.
    """

    port: int
    tls_port: int = 0
    host: str = "127.0.0.1"

    @contextmanager
    def channel(self, vhost: str = "/") -> Iterator[Any]:
        """A channel with confirms, as guest."""
        options = pika.ConnectionParameters(
            self.host, self.port, vhost, heartbeat=0, socket_timeout=60, stack_timeout=60
        )
        connection = pika.BlockingConnection(options)
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def declare(self, name: str, kind: str = "classic", vhost: str = "/", **arguments: object) -> None:
        """Make a durable queue."""
        with self.channel(vhost) as channel:
            channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind, **arguments})

    def delete(self, name: str) -> None:
        """Delete a queue with all that it holds."""
        with self.channel() as channel:
            channel.queue_delete(name)

    def publish(self, name: str, values: Sequence[bytes], vhost: str = "/", **properties: Any) -> None:
        """Send persistent messages to a queue; returns once the broker has confirmed them."""
        with self.channel(vhost) as channel:
            for value in values:
                channel.basic_publish(
                    "", name, value, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True
                )

    def count(self, name: str, vhost: str = "/") -> int:
        """How many messages wait in a queue and were not sent ahead to a consumer."""
        with self.channel(vhost) as channel:
            return int(channel.queue_declare(name, passive=True).method.message_count)

    def take(self, name: str) -> list[bytes]:
        """All messages that wait in a queue; they are gone then."""
        found: list[bytes] = []
        with self.channel() as channel:
            while (got := channel.basic_get(name, auto_ack=True))[0] is not None:
                found.append(got[2])
        return found


def rabbitmq_server(folder: Path, *, certificate: Path | None = None) -> tuple[LocalRabbitMq, RabbitMq]:
    """A broker that is not started yet, and how tests reach it.

    Args:
        folder: Empty or missing.
        certificate: PEM of key and certificate for the TLS listener; None for none.

    Raises:
        ServerMissing: RabbitMQ is not installed.
    """
    if rabbitmq_program() is None:
        raise ServerMissing("RabbitMQ is not installed: apt-get install rabbitmq-server.")
    folder.mkdir(parents=True, exist_ok=True)
    port, tls_port = free_ports(2)
    extra = [f"load_definitions = {folder}/definitions.json"]
    if certificate is not None:
        extra += [
            f"listeners.ssl.1 = 127.0.0.1:{tls_port}", f"ssl_options.certfile = {certificate}",
            f"ssl_options.keyfile = {certificate}", "ssl_options.verify = verify_none",
        ]  # fmt: skip
    (folder / "definitions.json").write_text(json.dumps(_definitions()))
    server = LocalRabbitMq(folder, port=port, extra=extra)
    return server, RabbitMq(port, tls_port if certificate is not None else 0)


def _definitions() -> dict[str, object]:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": "/"}, {"name": GUARDED}],
        "users": [
            {"name": "guest", "password": "guest", "tags": "administrator"},
            {"name": SECURED_USER, "password": SECURED_PASSWORD, "tags": ""},
        ],
        "permissions": [
            {"user": "guest", "vhost": "/", **everything},
            {"user": "guest", "vhost": GUARDED, **everything},
            {"user": SECURED_USER, "vhost": GUARDED, "configure": "^$", "write": "^$", "read": "^open"},
        ],
    }
