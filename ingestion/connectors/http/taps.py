"""Whoever looks at a door sees what is sent to it from now on, stored or refused; nothing waits for him."""

import asyncio
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import orjson

from ingestion.connectors.messages import Message

_KEPT = 1_000
_BEAT_SECONDS = 0.2
"""An empty line shows that the server is there; who waits for messages may look at the clock."""


class Taps:
    """Door → those who look at it; used in the server's loop only."""

    def __init__(self) -> None:
        self._open: dict[str, list[asyncio.Queue[bytes]]] = defaultdict(list)

    def has(self, door: str) -> bool:
        """Whether anybody looks at a door."""
        return bool(self._open.get(door))

    def show(self, door: str, events: Sequence[bytes], headers: str, note: str) -> None:
        """Show events to those who look; who is slower than the senders misses some."""
        for queue in self._open.get(door, ()):
            for event in events:
                if queue.qsize() < _KEPT:
                    queue.put_nowait(_line(event, headers, note))

    async def watch(self, door: str) -> AsyncIterator[bytes]:
        """Lines for `read_line`, without an end."""
        with self._opened(door) as queue:
            yield b"\n"
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), _BEAT_SECONDS)
                except TimeoutError:
                    yield b"\n"

    @contextmanager
    def _opened(self, door: str) -> Iterator[asyncio.Queue[bytes]]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._open[door].append(queue)
        try:
            yield queue
        finally:
            self._open[door].remove(queue)


def _line(event: bytes, headers: str, note: str) -> bytes:
    content = {"value": b64encode(event).decode(), "headers": headers, "note": note}
    return orjson.dumps(content) + b"\n"


def read_line(line: bytes, door: str) -> Message | None:
    """The message of a line; None for a beat."""
    if not line.strip():
        return None
    found = orjson.loads(line)
    value = b64decode(found["value"])
    return Message("", None, door.encode(), value, found["headers"], datetime.now(UTC), found["note"])
