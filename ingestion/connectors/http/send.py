"""POSTs events; one counts as sent once its request was answered with a receipt."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from itertools import groupby
from urllib.parse import quote

import orjson

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.client import bearer_header, connect
from ingestion.connectors.messages import Outgoing
from ingestion.errors import ConfigError, SourceUnavailable

_LINES, _BYTES = "application/x-ndjson", "application/octet-stream"
_REQUEST_BYTES = 2**20


class HttpSender:
    """A client (messages.Sender).

    Args:
        access: Where the collector listens.
        timeout_seconds: Bound of connecting and of each answer.
    """

    def __init__(self, access: HttpAccess, *, timeout_seconds: float) -> None:
        self._access, self._timeout = access, timeout_seconds
        self._connection: HTTPConnection | None = None

    def prepare(self, destination: str, *, create: bool) -> None:
        """Ask whether a stream reads what is sent there; only streams.yml makes one."""
        status, text = self._ask("OPTIONS", destination, b"", {})
        if status not in (200, 204):
            raise self._refused(destination, status, text)

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send, several in one request, and wait for the receipts."""
        for message in messages:
            if message.key is not None:
                raise ConfigError("events that are POSTed have no key; put it into the payload")
            if message.value is None:
                raise ConfigError("events that are POSTed have no tombstones; send a payload that says it")
        for destination, headers, content_type, body in _requests(messages):
            named = {"Content-Type": content_type, "Idempotency-Key": uuid.uuid4().hex}
            try:
                status, text = self._ask("POST", destination, body, {**headers, **named})
            except SourceUnavailable:  # its answer was lost, or the collector is just starting again
                status, text = self._ask("POST", destination, body, {**headers, **named})
            if status != 202:
                raise self._refused(destination, status, text)

    def close(self) -> None:
        """Leave."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self, method: str, destination: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = connect(self._access, timeout_seconds=self._timeout)
        try:
            shown = {**headers, **bearer_header(self._access.token)}
            self._connection.request(method, f"/v1/{quote(destination)}", body or None, shown)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            self.close()
            raise SourceUnavailable(
                f"{self._access.address} gave no answer ({type(error).__name__}); what was sent may be "
                "stored all the same"
            ) from None
        if answer.will_close:
            self.close()
        return answer.status, content

    def _refused(self, destination: str, status: int, text: bytes) -> SourceUnavailable:
        try:
            why = str(orjson.loads(text)["detail"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            why = "without a reason: is another program listening there?"
        return SourceUnavailable(f"{self._access.address}/v1/{destination} refused (HTTP {status}): {why}")


def _requests(messages: Iterable[Outgoing]) -> Iterator[tuple[str, Mapping[str, str], str, bytes]]:
    """Destination, headers, content type and body of each request."""
    for (destination, _, lined), group in groupby(messages, key=_alike):
        several, size, headers = list[bytes](), 0, dict[str, str]()
        for message in group:
            value, headers = message.value or b"", dict(message.headers)
            if not lined:
                yield destination, headers, _BYTES, value
                continue
            if several and size + len(value) > _REQUEST_BYTES:
                yield destination, headers, _LINES, b"\n".join(several)
                several, size = [], 0
            several.append(value)
            size += len(value) + 1
        if several:
            yield destination, headers, _LINES, b"\n".join(several)


def _alike(message: Outgoing) -> tuple[str, tuple[tuple[str, str], ...], bool]:
    return message.destination, tuple(message.headers.items()), _is_a_line(message.value or b"")


def _is_a_line(value: bytes) -> bool:
    """Whether it may be a line of NDJSON; what is not is sent as bytes, and the format decides."""
    if b"\n" in value:
        return False
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True
