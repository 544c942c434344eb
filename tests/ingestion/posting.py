"""Posts to a collector's HTTP server, and runs one for a test."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.collect.collector import Collector
from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.http.listener import HttpListener
from ingestion.connectors.messages import Outgoing
from ingestion.declare.sources import open_sender, read_source
from ingestion.declare.stream import Stream
from ingestion.errors import SourceUnavailable
from ingestion.settings import Settings, load_settings
from ingestion.spool.guarded import Limits
from tests.ingestion.collecting import running, spooled
from tests.servers.ports import free_ports

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True)
class Answer:
    """What a request got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Post:
    """A collector's server, as its clients see it."""

    settings: Settings
    port: int
    collector: Collector | None = None

    @property
    def listener(self) -> HttpListener:
        assert self.collector is not None
        return self.collector.listener  # type: ignore[return-value]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def post(self, door: str, body: bytes, headers: Mapping[str, str] = JSON) -> Answer:
        return self.ask("POST", f"/v1/{door}", body, headers)

    def values(self, stream: str) -> list[bytes]:
        return [row["value"] for row in spooled(self.settings.data_dir, stream)]


@contextmanager
def collecting(
    folder: Path, *sources: Mapping[str, object], limits: Limits | None = None, **settings: Any
) -> Iterator[Post]:
    """Streams named a, b, … of these sources."""
    port = settings.pop("http_port", None) or free_ports(1)[0]
    known = load_settings(data_dir=folder, http_port=port, **settings)
    streams = [
        Stream.model_validate({"name": name, "source": source})
        for name, source in zip("abcdef", sources, strict=False)
    ]
    with running(Collector(known, streams, connector=HTTP, limits=limits)) as collector:
        yield Post(known, port, collector)


def send_until_accepted(settings: Settings, door: str, values: Sequence[bytes]) -> None:
    """As a sender does that keeps what is refused; returns at once."""

    def send() -> None:
        sender = open_sender(read_source(f"http:{door}"), settings)
        while True:
            try:
                return sender.send([Outgoing(door, value) for value in values])
            except SourceUnavailable:
                time.sleep(0.02)

    threading.Thread(target=send, daemon=True).start()
