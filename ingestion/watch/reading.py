"""How far each stream is with its log, for what a kind says of its promise (connectors/durability.py)."""

from datetime import UTC, datetime, timedelta

from ingestion.connectors.durability import Reading
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import StreamState, read_state
from ingestion.log.port import Log, Window

PACE = timedelta(hours=1)
"""The time over which the pace of reading is taken."""

_TAKEN = """
select sum(events), sum(seconds)
from (
    select sum(events_read) as events, extract(epoch from max(ingested_at) - min(started_at)) as seconds
    from raw.batches where stream = ? and ingested_at > ?::timestamptz
    group by batch_id having sum(events_read) > 0
)
"""  # what the batches took, not the time between them: a quiet stream is not a slow one


def how_far(lake: Lake | None, stream: Stream, log: Log, *, now: datetime) -> Reading:
    """Ask log and lake.

    Args:
        lake: None: nothing was read yet.
        stream: The stream.
        log: Its log.
        now: UTC.

    Raises:
        SourceUnavailable: The broker is away.
        CatalogUnavailable: The catalog is.
    """
    known = (read_state(lake, stream.name) if lake else StreamState(0, {})).positions
    bounds = log.bounds()
    unread = {}
    for partition, each in bounds.items():
        position = known.get(partition)
        start = max(position.next if position else each.begin, each.begin)
        if start < each.end and not (position and position.retired):
            unread[partition] = Window(start, each.end)
    times = log.first_times(unread) if unread else {}
    return Reading(
        stream.name,
        stream.source,
        bounds,
        unread,
        {partition: moment for partition, moment in times.items() if moment is not None},
        _pace(lake, stream, now) if lake and unread else None,
    )


def _pace(lake: Lake, stream: Stream, now: datetime) -> float | None:
    """Events a second while the batches of the last hour read."""
    ((events, seconds),) = lake.query(_TAKEN, [stream.name, now.astimezone(UTC) - PACE])
    return float(events) / float(seconds) if events and seconds else None
