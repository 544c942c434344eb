"""Exceptions that must leave dbt, although dbt would swallow them or hang on them.

dbt ends its queries on KeyboardInterrupt only. On any other exception in its main thread it waits for them,
on one in a callback, which a worker thread calls, it waits forever. It ends them once: for one that begins a
moment later, because its model was just being compiled, it waits too, where no signal is heard any more.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_Handler = Callable[[int, FrameType | None], Any]
_AGAIN_SECONDS = 0.1


class DeferredException:
    """Holds the first exception that has to wait until dbt has returned."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def guard(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap a callback so that dbt never sees it raise; after an exception it is not called again."""

        def call(event: Any) -> None:
            if self._error is None:
                try:
                    callback(event)
                except BaseException as error:
                    self._error = error

        return call

    @contextmanager
    def interrupts(self, end_queries: Callable[[], None]) -> Iterator[None]:
        """Turn what the handlers of SIGINT and SIGTERM raise into KeyboardInterrupt while the block runs.

        Args:
            end_queries: Called in a thread of its own after that, again and again, until the block has ended.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        ended = threading.Event()

        def end_them() -> None:
            while not ended.wait(_AGAIN_SECONDS):
                end_queries()

        ending = threading.Thread(target=end_them, name="ending queries", daemon=True)
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, self._translated(handler, ending))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            ended.set()
            if ending.ident is not None:
                ending.join()

    def release(self) -> None:
        """Raise the exception, if there is one."""
        if self._error is not None:
            raise self._error

    def _translated(self, handler: _Handler, ending: threading.Thread) -> _Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                if self._error is None:
                    self._error = error
                with suppress(RuntimeError):  # started by an earlier one
                    ending.start()
                raise KeyboardInterrupt from error

        return handle
