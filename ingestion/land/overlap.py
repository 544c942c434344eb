"""How much of a spool is in the lake already: its events are compared, not its positions.

A spool that was put back from a copy begins with events that were read, and goes on with others.
"""

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.clock import utc_now
from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.log.notation import bytes_as_text, text_as_bytes
from ingestion.log.port import Bounds, Log, Window

_COLUMNS = ["position", "event_time", "event_key", "payload", "payload_raw"]
_EVENTS = """
with landed as (
    select position, event_time, event_key, payload, payload_raw
    from raw."{stream}"
    where source_partition = $partition
),

events as (
    from landed
    union all by name
    select position, event_time, event_key, payload_raw
    from raw.rejects
    where
        stream = $stream and source_partition = $partition
        and position not in (select position from landed)
)
"""
_PAYLOAD = "case when payload_raw is null then payload end as payload"
_FIRST = _EVENTS + "select position from events where event_time = $moment order by position"
_NEXT = _EVENTS + (
    f"select position, event_time, event_key, {_PAYLOAD}, payload_raw from events where position >= $since "
    "order by position limit $most"
)
_Event = tuple[datetime, str | None, str | None, bytes | None]
"""When it was received, to the microsecond, its key, and what the stream's format makes of it today."""


def events_in_lake(lake: Lake, stream: Stream, *, log: Log, partition: str, bounds: Bounds) -> int:
    """How many of a log's first events the lake holds, one after the other.

    Args:
        lake: The lake.
        stream: The stream.
        log: The log, which dates each event by when it received it.
        partition: Its partition.
        bounds: What it holds.

    Returns:
        Events from the beginning of the log on; what follows them is not in the lake in this place.

    Raises:
        FormatUnavailable: What the format needs is away.
    """
    only_first = Window(bounds.begin, min(bounds.begin + 1, bounds.end))
    first = next(_of_log(lake, stream, log, partition, only_first), [])
    if not first:
        return 0
    named = {"stream": stream.name, "partition": partition}
    query = _FIRST.format(stream=stream.name)
    begins = lake.connection.execute(query, named | {"moment": first[0][0]}).fetchall()
    return max((_run(lake, stream, log, partition, bounds, since=begin) for (begin,) in begins), default=0)


def _run(lake: Lake, stream: Stream, log: Log, partition: str, bounds: Bounds, *, since: int) -> int:
    """How many events are the same, from the log's beginning and from this position of the lake on."""
    same, query = 0, _NEXT.format(stream=stream.name)
    named = {"stream": stream.name, "partition": partition}
    for events in _of_log(lake, stream, log, partition, Window(bounds.begin, bounds.end)):
        rows = lake.connection.execute(query, named | {"since": since, "most": len(events)}).fetchall()
        for event, row in zip(events, rows, strict=False):
            if event != (row[1], _as_today(row[2]), *row[3:]):
                return same
            same += 1
        if len(rows) < len(events):
            return same
        since = rows[-1][0] + 1
    return same


def _as_today(key: str | None) -> str | None:
    """A key as it is written now; an earlier release wrote control characters as they are."""
    return None if key is None else bytes_as_text(text_as_bytes(key))


def _of_log(lake: Lake, stream: Stream, log: Log, partition: str, window: Window) -> Iterator[list[_Event]]:
    """Events of a log as the lake would hold them, some thousand at a time."""
    decode, limit = decoder_of(stream, lake.settings), lake.settings.payload_max_bytes
    for chunk in log.read({partition: window}) if window.start < window.end else ():
        made = decode(chunk.events, stream=stream.name, batch_id=0, ingested_at=utc_now(), max_bytes=limit)
        rejects = made.rejects.append_column("payload", pa.nulls(made.rejects.num_rows, pa.string()))
        both = pa.concat_tables([made.events.select(_COLUMNS), rejects.select(_COLUMNS)]).sort_by("position")
        # Where bytes are kept they are compared: a text may depend on what came before it.
        both = both.set_column(
            3, "payload", pc.if_else(pc.is_valid(both["payload_raw"]), None, both["payload"])
        )
        columns = [both[name].to_pylist() for name in _COLUMNS[1:]]
        yield list(zip(*columns, strict=True))
