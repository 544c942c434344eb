"""One process that starts the servers that all workers of a test run share, and stops them after the run.

The run's main process starts it (tests/suite.py) and holds its standard input. When that closes, however the
run ended, everything stops. A server starts when the first test asks for it (tests/servers/shared.py).
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.servers import SECURED_PASSWORD, SECURED_USER, ServerMissing


class Keeper:
    """The servers of one run, each started once.

    Args:
        folder: For their data and logs.
        cache: Kept between runs, for Kafka's jars.
    """

    def __init__(self, folder: Path, *, cache: Path) -> None:
        self._folder = folder
        self._cache = cache
        self._answers: dict[str, dict[str, Any]] = {}
        self._stops: list[Callable[[], None]] = []
        self._kinds = {
            "postgres": self._postgres,
            "certificates": self._certificates,
            "kafka": self._kafka,
            "rabbitmq": self._rabbitmq,
        }

    def answer(self, kind: str) -> dict[str, Any]:
        """Where a server is; starts it when nobody has asked before. A failure is remembered too."""
        if kind not in self._answers:
            try:
                self._answers[kind] = self._kinds[kind]()
            except ServerMissing as missing:
                self._answers[kind] = {"missing": str(missing)}
            except Exception as error:
                self._answers[kind] = {"error": f"{type(error).__name__}: {error}"}
        return self._answers[kind]

    def stop(self) -> None:
        """Stop every server, the last one first."""
        while self._stops:
            self._stops.pop()()

    def _postgres(self) -> dict[str, Any]:
        from orchestration.services.postgres import EmbeddedPostgres

        folder = self._folder / "postgres"
        server = EmbeddedPostgres(folder, max_connections=400)
        server.start()
        assert server.pid is not None
        pid = server.pid
        # Its data end with the run: nothing has to be safe on the disk, and no shutdown has to tidy up.
        with (server.folder.data / "postgresql.auto.conf").open("a") as file:
            file.write("fsync = off\nfull_page_writes = off\n")
        os.kill(pid, signal.SIGHUP)
        self._stops += [server.stop, lambda: os.kill(pid, signal.SIGQUIT)]
        return {"folder": str(folder)}

    def _certificates(self) -> dict[str, Any]:
        from tests.servers.certificates import make_certificates

        made = make_certificates(self._folder / "certificates")
        return {name: str(path) for name, path in asdict(made).items()}

    def _kafka(self) -> dict[str, Any]:
        from tests.ingestion.helpers import produce
        from tests.servers.apache_kafka import KafkaServer

        certificates = self.answer("certificates")
        server = KafkaServer(
            self._folder / "kafka",
            cache=self._cache,
            sasl_users={SECURED_USER: SECURED_PASSWORD},
            certificate=Path(certificates["server"]) if "server" in certificates else None,
        )
        server.start()
        self._stops.append(server.stop)
        server.create_topic("guarded", partitions=1)
        produce(server.bootstrap_servers, "guarded", [b"1", b"2"])
        return {"ports": asdict(server.ports)}

    def _rabbitmq(self) -> dict[str, Any]:
        from tests.servers.rabbitmq import rabbitmq_server

        certificates = self.answer("certificates")
        certificate = Path(certificates["server"]) if "server" in certificates else None
        server, place = rabbitmq_server(self._folder / "rabbitmq", certificate=certificate)
        server.start()
        self._stops.append(server.kill)  # its data end with the run
        return asdict(place)


def serve(keeper: Keeper, address: Path) -> None:
    """Answer until standard input ends: one line with a kind, one line of JSON."""
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(str(address))
        listener.listen(64)
        selector.register(sys.stdin, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
                return
            if listener in ready:
                connection, _ = listener.accept()
                with connection, connection.makefile("rw") as stream:
                    kind = stream.readline().strip()
                    stream.write(json.dumps(keeper.answer(kind)) + "\n")


def main() -> None:
    """`python -m tests.servers.keeper SOCKET FOLDER CACHE`."""
    address, folder, cache = map(Path, sys.argv[1:])
    keeper = Keeper(folder, cache=cache)
    try:
        serve(keeper, address)
    finally:
        keeper.stop()


if __name__ == "__main__":
    main()
