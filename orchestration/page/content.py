"""What single pages read of the lake besides the look: a stream's newest events and troubles, a mart's rows.

All of it comes from the functions behind `millrace peek`, `rejects`, `gaps` and the checks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import duckdb

from ingestion.connectors.messages import Look as Peek
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.land.rejects import Reject, first_bytes, list_rejects, newest_resolved
from ingestion.settings import Settings
from ingestion.watch.sequences import Gap, is_built, open_gaps
from ingestion.watch.staged import CastErrors, Conflicts, count_cast_errors, count_conflicts
from orchestration.cli.messages import Row
from orchestration.cli.peek import look_at_stream

NEWEST = 12
SHOWN_BYTES = 400
_RESOLVED = 8
_PATIENCE_SECONDS = 3.0
_T = TypeVar("_T")


@dataclass(frozen=True)
class StreamContent:
    """What is known of a stream in one version of the lake.

    Attributes:
        stream: The stream.
        newest: Its newest events that were read, the newest first, with what became of them.
        why_not: Why these are missing; empty otherwise.
        rejects: The newest that are open, the newest first.
        sent: Event → the first bytes of what was sent, of these rejects.
        resolved: The newest rejects that were landed later or dismissed, the newest first.
        gaps: The open ones, the oldest first; None where its senders do not number their events.
        casts: Values that are not of their type, of its newest hour; None without a staging table.
        conflicts: Deliveries that contradict each other, of its newest hour; None without a staging table.
    """

    stream: Stream
    newest: tuple[Row, ...] = ()
    why_not: str = ""
    rejects: tuple[Reject, ...] = ()
    sent: Mapping[str, bytes] = field(default_factory=dict)
    resolved: tuple[Reject, ...] = ()
    gaps: tuple[Gap, ...] | None = None
    casts: CastErrors | None = None
    conflicts: Conflicts | None = None


def read_stream(settings: Settings, lake: Lake, stream: Stream) -> StreamContent:
    """Read what a stream's page shows; what is not there yet is left out.

    Args:
        settings: Where everything is.
        lake: In a transaction, so that all of it is one version.
        stream: The stream.
    """
    there = _or(frozenset[tuple[str, str]](), lake.tables)
    newest, why_not = _newest(settings, lake, stream)
    is_open = _or(list[Reject](), lambda: list_rejects(lake, stream.name, newest=NEWEST))
    ids = [each.event_id for each in is_open]
    is_staged = ("staging", f"stg_{stream.name}") in there
    return StreamContent(
        stream,
        newest,
        why_not,
        tuple(reversed(is_open)),
        _or({}, lambda: first_bytes(lake, stream.name, ids, count=SHOWN_BYTES)) if ids else {},
        tuple(_or(list[Reject](), lambda: newest_resolved(lake, stream.name, count=_RESOLVED))),
        _gaps(lake, stream),
        _or(None, lambda: count_cast_errors(lake, stream)) if is_staged else None,
        _or(None, lambda: count_conflicts(lake, stream)) if is_staged else None,
    )


def _newest(settings: Settings, lake: Lake, stream: Stream) -> tuple[tuple[Row, ...], str]:
    peek = Peek(NEWEST, "latest", wait_seconds=0.0, timeout_seconds=_PATIENCE_SECONDS)
    try:
        return tuple(reversed([*look_at_stream(stream, settings, peek, lake=lake)])), ""
    except (MillraceError, duckdb.Error) as error:
        return (), str(error).splitlines()[0]


def _gaps(lake: Lake, stream: Stream) -> tuple[Gap, ...] | None:
    if stream.sequence is None:
        return None
    return tuple(_or(list[Gap](), lambda: open_gaps(lake, stream.name) if is_built(lake) else []))


def _or(otherwise: _T, read: Callable[[], _T]) -> _T:
    """What is read; something else where it is not there yet."""
    try:
        return read()
    except (MillraceError, duckdb.Error):
        return otherwise
