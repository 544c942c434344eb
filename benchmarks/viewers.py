"""Viewers of the live page, each as a browser holds it: a request that stays open and is read as it comes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from benchmarks.system import Running
from orchestration.records.system_state import read_system_state

_REQUEST = "GET /live?view={view} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n"


class Viewers:
    """Open pages; as a context they look until its end.

    Args:
        port: Of the live page on this machine.
        count: How many.
        view: The page's name, as in its address.

    Attributes:
        heard_bytes: What came to all of them so far.
    """

    def __init__(self, port: int, count: int, *, view: str = "overview") -> None:
        request = _REQUEST.format(view=view, port=port).encode()
        self._sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
        self.heard_bytes = 0
        self._over = threading.Event()
        for each in self._sockets:
            each.sendall(request)
            answer = each.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            each.setblocking(False)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for each in self._sockets:
            each.close()

    def _read(self) -> None:
        while not self._over.wait(0.2):
            for each in self._sockets:
                try:
                    self.heard_bytes += len(each.recv(2**20))
                except BlockingIOError:
                    continue


def page_process(running: Running) -> tuple[int, int]:
    """Process id and port of the running system's live page."""
    state = read_system_state(running.data_dir)
    assert state is not None, "the system does not run"
    assert state.page_url, "the system runs without its page"
    pid = next(row.pid for row in state.services if row.name == "page")
    port = urlsplit(state.page_url).port
    assert pid is not None
    assert port is not None
    return pid, port


@contextmanager
def looking(running: Running, count: int) -> Iterator[None]:
    """So many viewers of the overview for the block."""
    with Viewers(page_process(running)[1], count) as viewers:
        yield
    assert not count or viewers.heard_bytes, "the page sent its viewers nothing"
