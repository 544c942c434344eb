"""Who looks at which page, and the tiles that were made last for each: made once, sent to all.

It lives on the server's event loop; `publish` alone may be called from another thread.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

_WAITING = 16  # messages that a slow browser may be late before it gets everything at once
_BEAT_SECONDS = 15.0
_AGE = re.compile(r"(<time [^>]*>)[^<]*")
"""The browser counts ages on by itself: one second more changes nothing."""
_BEAT = b": still here\n\n"


@dataclass(frozen=True)
class Key:
    """A page.

    Attributes:
        view: Its name.
        of: What it is about, a stream for example; empty for a page that there is once.
        operates: Whether it is for operators, who get buttons.
    """

    view: str
    of: str = ""
    operates: bool = False


@dataclass
class _Page:
    parts: dict[str, dict[str, str]] = field(default_factory=dict)
    viewers: set["asyncio.Queue[bytes | None]"] = field(default_factory=set)

    def tiles(self) -> dict[str, str]:
        """All tiles, in the order of the page."""
        return {name: html for part in sorted(self.parts) for name, html in self.parts[part].items()}


class Hub:
    """The viewers of every page.

    Args:
        woken: Called when somebody opens a page, from the event loop.
    """

    def __init__(self, woken: Callable[[], None] = lambda: None) -> None:
        self._pages: dict[Key, _Page] = {}
        self._woken = woken
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def begin(self) -> None:
        """Take the running event loop."""
        self._loop = asyncio.get_running_loop()

    def wanted(self) -> frozenset[Key]:
        """The pages that somebody looks at; from any thread."""
        return frozenset(self._pages.copy())

    def viewers(self) -> int:
        """How many look."""
        return sum(len(page.viewers) for page in self._pages.values())

    def publish(self, key: Key, part: str, tiles: Mapping[str, str]) -> None:
        """Replace a part of a page; what has changed is sent. From any thread.

        Args:
            key: The page.
            part: Parts stand in the order of their names.
            tiles: Name → HTML, in the order in which they stand.
        """
        if self._loop is not None and not self._closed:
            self._loop.call_soon_threadsafe(self._send, key, part, dict(tiles))

    def _send(self, key: Key, part: str, tiles: dict[str, str]) -> None:
        page = self._pages.get(key)
        if page is None:
            return
        known = page.parts.get(part)
        kept = {
            name: html for name, html in (known or {}).items() if _ageless(html) == _ageless(tiles.get(name))
        }
        tiles = {**tiles, **kept}
        if known is not None and [*known.items()] == [*tiles.items()]:
            return
        before = page.tiles()
        page.parts[part] = tiles
        now = page.tiles()
        changed = {name: html for name, html in now.items() if before.get(name) != html}
        message = _message(changed, order=[*now])
        whole: bytes | None = None
        for viewer in page.viewers:
            if viewer.full():
                whole = whole or _message(now, order=[*now])
                while not viewer.empty():
                    viewer.get_nowait()
                viewer.put_nowait(whole)
            else:
                viewer.put_nowait(message)

    async def follow(self, key: Key) -> AsyncIterator[bytes]:
        """The events of a page for one browser, until it goes away or the hub closes."""
        viewer: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        page = self._pages.setdefault(key, _Page())
        page.viewers.add(viewer)
        if page.parts:
            viewer.put_nowait(_message(page.tiles(), order=[*page.tiles()]))
        self._woken()
        try:
            yield b"retry: 2000\n\n"
            while not self._closed:
                try:
                    message = await asyncio.wait_for(viewer.get(), _BEAT_SECONDS)
                except TimeoutError:
                    message = _BEAT
                if message is None:
                    return
                yield message
        finally:
            page.viewers.discard(viewer)
            if not page.viewers:
                self._pages.pop(key, None)

    def close(self) -> None:
        """End every browser's events: the server waits for none of them."""
        self._closed = True
        for page in self._pages.values():
            for viewer in page.viewers:
                while not viewer.empty():
                    viewer.get_nowait()
                viewer.put_nowait(None)


def _ageless(html: str | None) -> str | None:
    return None if html is None else _AGE.sub(r"\1", html)


def _message(tiles: Mapping[str, str], *, order: list[str]) -> bytes:
    content = json.dumps({"order": order, "tiles": tiles}, separators=(",", ":"))
    return f"event: tiles\ndata: {content}\n\n".encode()
