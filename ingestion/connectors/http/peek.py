"""Looks at what is sent to a door: through the collector, or in its place where none runs."""

import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.app import HttpApp
from ingestion.connectors.http.client import bearer_header, connect
from ingestion.connectors.http.declare import HttpSource
from ingestion.connectors.http.doors import Keepers
from ingestion.connectors.http.server import HttpServer
from ingestion.connectors.http.taps import read_line
from ingestion.connectors.http.tokens import TokenFile
from ingestion.connectors.messages import Look, Message
from ingestion.errors import ConfigError, SourceUnavailable


def peek(source: HttpSource, access: HttpAccess, look: Look) -> Iterator[Message]:
    """The next events that are sent (port.Connector.peek)."""
    if look.start != "latest":
        raise ConfigError("what was sent before is not kept for whoever looks: leave --from out")
    return _look(source, access, look)


def _look(source: HttpSource, access: HttpAccess, look: Look) -> Iterator[Message]:
    try:
        connection = connect(access, timeout_seconds=look.timeout_seconds)
    except SourceUnavailable:
        # No collector runs, so what is sent meanwhile is shown and refused: its sender keeps it.
        keepers = Keepers(access, TokenFile(Path()))
        app = HttpApp(
            {},
            access,
            keepers=keepers,
            whereabouts=lambda *_: None,
            deliver=lambda _: None,
            held=lambda _: None,
            answer_seconds=1,
        )
        server = HttpServer(app.asgi, access)
        try:
            yield from _watch(source, access, connect(access, timeout_seconds=look.timeout_seconds), look)
        finally:
            server.stop()
    else:
        yield from _watch(source, access, connection, look)


def _watch(
    source: HttpSource, access: HttpAccess, connection: HTTPConnection, look: Look
) -> Iterator[Message]:
    with closing(connection):
        try:
            path = f"/v1/{quote(source.http)}/next"
            connection.request("GET", path, headers=bearer_header(access.read_token))
            answer = connection.getresponse()
            if answer.status == 401:
                raise SourceUnavailable(
                    f"{access.address} shows what is sent to it only to who has its read token: set "
                    "MILLRACE_HTTP_READ_TOKEN for the system and here"
                )
            if answer.status != 200:
                raise SourceUnavailable(
                    f"{access.address} does not show what is sent to it (HTTP {answer.status}); is another "
                    "program listening there?"
                )
            deadline, left = time.monotonic() + look.wait_seconds, look.limit
            while left and time.monotonic() < deadline:
                message = read_line(answer.readline(), source.http)
                if message is not None:
                    left -= 1
                    yield message
        except (OSError, HTTPException) as error:
            raise SourceUnavailable(
                f"{access.address} does not answer ({type(error).__name__}); look at the collector's log"
            ) from None
