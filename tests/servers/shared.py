"""How a test gets at the servers of the run; the process that keeps them is in keeper.py."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from tests.servers import ServerMissing
from tests.servers.apache_kafka import ApacheKafka, KafkaPorts
from tests.servers.certificates import Certificates
from tests.servers.rabbitmq import RabbitMq

ADDRESS = "TEST_SERVERS_SOCKET"
"""The variable with the keeper's socket, which every worker inherits."""
START_TIMEOUT_S = 400.0  # Maven may have to fetch Kafka first


def where_is(kind: str) -> dict[str, Any]:
    """Ask the keeper for a server, which starts it when nobody has asked before.

    Raises:
        ServerMissing: Its program is not installed.
        RuntimeError: It could not be started.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(START_TIMEOUT_S)
        connection.connect(os.environ[ADDRESS])
        with connection.makefile("rw") as stream:
            stream.write(f"{kind}\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
    if "missing" in answer:
        raise ServerMissing(answer["missing"])
    if "error" in answer:
        raise RuntimeError(f"the shared {kind} could not be started: {answer['error']}")
    return answer


def shared_kafka() -> ApacheKafka:
    """The Kafka of the run."""
    return ApacheKafka(KafkaPorts(**where_is("kafka")["ports"]))


def shared_rabbitmq() -> RabbitMq:
    """The RabbitMQ of the run."""
    return RabbitMq(**where_is("rabbitmq"))


def shared_certificates() -> Certificates:
    """The certificates of the run; the secured listeners of its Kafka use them."""
    return Certificates(**{name: Path(path) for name, path in where_is("certificates").items()})


def shared_postgres_folder() -> Path:
    """The folder of the run's PostgreSQL."""
    return Path(where_is("postgres")["folder"])
