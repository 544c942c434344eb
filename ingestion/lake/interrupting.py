"""Ends a query of DuckDB from another thread.

An interrupt that comes a moment before DuckDB begins with the query is lost, for the query forgets it. It is
repeated until the query has ended.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import duckdb

_AGAIN_SECONDS = 0.1


def interrupt_until(connection: duckdb.DuckDBPyConnection, ended: Callable[[float], bool]) -> None:
    """Interrupt what a connection does, again and again.

    Args:
        connection: It is used by another thread.
        ended: Waits so many seconds at most, and says whether the query has ended.
    """
    while not ended(_AGAIN_SECONDS):
        with suppress(duckdb.ConnectionException):  # closed meanwhile
            connection.interrupt()


@contextmanager
def interrupted_after(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """What the block asks of a connection ends with duckdb.InterruptException after so many seconds."""
    ended = threading.Event()

    def watch() -> None:
        if not ended.wait(seconds):
            interrupt_until(connection, ended.wait)

    watching = threading.Thread(target=watch, name="time of a query", daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()
