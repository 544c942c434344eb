"""Between Kafka and its clients: passes everything on but the requests that a test wants swallowed."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

FETCH = 1
"""The key of Kafka's Fetch request; https://kafka.apache.org/protocol#protocol_api_keys."""


class KafkaProxy:
    """Listens on 127.0.0.1; a swallowed request is never answered, and its connection stays open.

    Args:
        port: Where clients come.
        target: The broker's port.
        swallow: Key of a request → whether the broker does not get it.
    """

    def __init__(self, port: int, target: int, *, swallow: Callable[[int], bool]) -> None:
        self._target, self._swallow = target, swallow
        self._sockets: list[socket.socket] = [socket.create_server(("127.0.0.1", port))]
        self._run(self._accept)

    def close(self) -> None:
        """Close all connections."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in it
            one.close()

    def _run(self, what: Callable[..., None], *arguments: object) -> None:
        def quietly() -> None:
            with suppress(OSError):  # one of both sides has closed
                what(*arguments)

        threading.Thread(target=quietly, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._sockets[0].accept()
            broker = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, broker]
            self._run(self._requests, client, broker)
            self._run(self._answers, broker, client)

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        stream = client.makefile("rb")
        try:
            while len(head := stream.read(4)) == 4:
                body = stream.read(*struct.unpack(">i", head))
                if not self._swallow(*struct.unpack(">h", body[:2])):
                    broker.sendall(head + body)
        finally:
            broker.shutdown(socket.SHUT_RDWR)

    def _answers(self, broker: socket.socket, client: socket.socket) -> None:
        while data := broker.recv(65_536):
            client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)
