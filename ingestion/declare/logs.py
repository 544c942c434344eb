"""A declared stream → the log it is read from, through the connector of its kind."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ingestion.connectors.guard import GuardedLog
from ingestion.connectors.registry import connector, require_libraries
from ingestion.connectors.secrets import secrets_of
from ingestion.declare.stream import Stream
from ingestion.log.port import Log
from ingestion.settings import Settings
from ingestion.spool.log import SpoolLog
from ingestion.spool.several import SpoolLogs


def open_log(stream: Stream, settings: Settings, *, timeout_seconds: float | None = None) -> Log:
    """Make a stream's log; nothing is read, checked or contacted before its first call.

    Each of its calls raises a MillraceError or nothing, whatever its connector raises; ConfigError where the
    access is wrong or the kind's client is not installed.

    Args:
        stream: A declared stream.
        settings: Addresses, credentials and folders.
        timeout_seconds: Bound of each call; settings.source_timeout_seconds by default.
    """
    return GuardedLog(
        stream.name,
        kind=stream.kind,
        open_log=lambda: _open(stream, settings, timeout_seconds),
        secrets=lambda: secrets_of(settings.access(stream.kind, connector(stream.kind).access)),
    )


def open_spools(stream: Stream, settings: Settings) -> tuple[SpoolLog, ...]:
    """The spools that a stream is read from, one a collector; none where its broker keeps the events.

    Raises:
        ConfigError: The access is wrong, or the kind's client is not installed.
    """
    log = _open(stream, settings, None)
    if isinstance(log, SpoolLog):
        return (log,)
    if isinstance(log, SpoolLogs):
        return log.spools
    log.close()
    return ()


def _open(stream: Stream, settings: Settings, timeout_seconds: float | None) -> Log:
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
