"""A declared stream → the log it is read from, through the connector of its kind."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ingestion.connectors.registry import connector, require_libraries
from ingestion.declare.stream import Stream
from ingestion.log.port import Log
from ingestion.settings import Settings


def open_log(stream: Stream, settings: Settings, *, timeout_seconds: float | None = None) -> Log:
    """Open a stream's log; nothing is contacted before the first call.

    Args:
        stream: A declared stream.
        settings: Addresses, credentials and folders.
        timeout_seconds: Bound of each call; settings.source_timeout_seconds by default.

    Raises:
        ConfigError: The access is wrong, or the kind's client is not installed.
    """
    kind = connector(stream.kind)
    require_libraries(stream.kind, kind.libraries, extra=kind.extra)
    return kind.open_log(
        stream.name,
        stream.source,
        settings.access(stream.kind, kind.access),
        spool=settings.data_dir / "spool",
        timeout_seconds=timeout_seconds or settings.source_timeout_seconds,
    )


@contextmanager
def open_logs(streams: Iterable[Stream], settings: Settings) -> Iterator[dict[str, Log]]:
    """The streams' logs, closed at the end."""
    logs = {stream.name: open_log(stream, settings) for stream in streams}
    try:
        yield logs
    finally:
        for log in logs.values():
            log.close()
