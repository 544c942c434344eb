"""HTTP/1.1 on a connection, as uvicorn speaks it, for clients that may be slow or hostile.

A request's line and headers have to be here in time and are bounded; the body's time is bodies' reader's.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_SECONDS = 10.0
_HEAD_BYTES = 32 * 1024
_MOST_CONNECTIONS = 1_000
_LINGER_SECONDS = 2.0


class LingeringTransport:
    """A transport that is closed only after what the client still sends was read for a while.

    A connection that is closed with unread bytes is reset, and the client would not see the answer.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self.is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is answered."""
        return self.is_lingering or bool(self._transport.is_closing())

    def close(self) -> None:
        """Say that nothing follows, and close it once the client has, or later."""
        if self.is_closing():
            return
        self.is_lingering = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(_LINGER_SECONDS, self._transport.close)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers are late, too large, or one too many."""

    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(LingeringTransport(transport, self.loop))  # type: ignore[arg-type]
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what comes after the last answer is dropped."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins; of a connection that was kept alive, too."""
        super().on_message_begin()
        self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        if self._may_grow(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if self._may_grow(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request is known, and its handler waits for the body."""
        self._stop_waiting()
        super().on_headers_complete()

    def _may_grow(self, size: int) -> bool:
        self._head_bytes += size
        if self._head_bytes > _HEAD_BYTES:
            self.transport.abort()
            return False
        return True

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._head_bytes = 0
        self._late = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
