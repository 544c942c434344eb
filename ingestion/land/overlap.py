"""How much of a spool is in the lake already: its events are compared, not its positions.

A spool that was put back from a copy begins with events that were read, and goes on with others.
"""

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa

from ingestion.formats.decode import keys_as_text
from ingestion.lake.lake import Lake
from ingestion.log.port import Bounds, Log, Window

_EVENTS = """
with events as (
    select position, event_time, event_key from raw."{stream}" where source_partition = $partition
    union
    select position, event_time, event_key from raw.rejects
    where stream = $stream and source_partition = $partition
)
"""
_FIRST = _EVENTS + "select position from events where event_time = $moment order by position"
_NEXT = _EVENTS + (
    "select position, event_time, event_key from events where position >= $since "
    "order by position limit $most"
)
_Event = tuple[datetime, str | None]
"""When it was received, to the microsecond, and its key."""


def events_in_lake(lake: Lake, stream: str, *, log: Log, partition: str, bounds: Bounds) -> int:
    """How many of a log's first events the lake holds, one after the other.

    Args:
        lake: The lake.
        stream: The stream's name.
        log: The log, which dates each event by when it received it.
        partition: Its partition.
        bounds: What it holds.

    Returns:
        Events from the beginning of the log on; what follows them is not in the lake in this place.
    """
    first = next(_of_log(log, partition, Window(bounds.begin, min(bounds.begin + 1, bounds.end))), [])
    if not first:
        return 0
    named = {"stream": stream, "partition": partition}
    begins = lake.connection.execute(_FIRST.format(stream=stream), named | {"moment": first[0][0]}).fetchall()
    return max((_run(lake, named, log, bounds, since=begin) for (begin,) in begins), default=0)


def _run(lake: Lake, named: dict[str, str], log: Log, bounds: Bounds, *, since: int) -> int:
    """How many events are the same, from the log's beginning and from this position of the lake on."""
    same, query = 0, _NEXT.format(stream=named["stream"])
    for events in _of_log(log, named["partition"], Window(bounds.begin, bounds.end)):
        rows = lake.connection.execute(query, named | {"since": since, "most": len(events)}).fetchall()
        for event, row in zip(events, rows, strict=False):
            if event != row[1:]:
                return same
            same += 1
        if len(rows) < len(events):
            return same
        since = rows[-1][0] + 1
    return same


def _of_log(log: Log, partition: str, window: Window) -> Iterator[list[_Event]]:
    """Events of a log, some thousand at a time."""
    for chunk in log.read({partition: window}) if window.start < window.end else ():
        keys = keys_as_text(pa.chunked_array(chunk.events["event_key"].chunks, pa.binary()))
        yield list(zip(chunk.events["event_time"].to_pylist(), keys.to_pylist(), strict=True))
