"""An OpenTelemetry collector for tests: an HTTP server that takes OTLP, refuses it, or never answers."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Mood = Literal["takes", "refuses", "hangs"]


@dataclass(frozen=True)
class Seen:
    """A span that came.

    Attributes:
        name: Its name.
        trace: Its trace, hexadecimal.
        id: Its own id.
        parent: The id of the span that it is a part of; empty for none.
        links: Traces and spans that it links to.
        values: Its attributes.
        failure: Why it failed; None where it did not.
        began: In nanoseconds since 1970.
        ended: The same.
        resource: What its process says of itself.
    """

    name: str
    trace: str
    id: str
    parent: str
    links: Sequence[tuple[str, str]]
    values: dict[str, Any]
    failure: str | None
    began: int
    ended: int
    resource: dict[str, Any] = field(default_factory=dict)


class Collector:
    """A context that serves.

    Attributes:
        mood: What it does with what comes.
        asked: How many requests have come.
        headers: Of the last request.
    """

    def __init__(self, mood: Mood = "takes") -> None:
        self.mood = mood
        self.asked = 0
        self.headers: dict[str, str] = {}
        self._bodies: list[bytes] = []
        self._closing = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.headers = {name.lower(): value for name, value in self.headers.items()}
                collector.asked += 1
                if collector.mood == "hangs":
                    collector._closing.wait()
                    return
                if collector.mood == "takes":
                    collector._bodies.append(body)
                self.send_response(200 if collector.mood == "takes" else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def text(self) -> str:
        """Everything that came, as it was sent."""
        return b"".join(self._bodies).decode(errors="replace")

    def spans(self, name: str = "") -> list[Seen]:
        """The spans that came, of a name."""
        found = [span for body in tuple(self._bodies) for span in _decoded(body)]
        return [span for span in found if name in ("", span.name)]

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _decoded(body: bytes) -> list[Seen]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        Seen(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            _values(span.attributes),
            span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _values(resource.resource.attributes),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return (
        [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
    )
