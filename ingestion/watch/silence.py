"""How long a stream is usually silent, from its own batches in the ledger.

Silence is what lies between the last event of a batch and the first of the next one, by the broker's time
stamps: while nothing of Millrace runs, the broker goes on, so that its rests are none of the stream's.
"""

from datetime import datetime, timedelta

from ingestion.lake.lake import Lake

LEARNING = timedelta(days=7)
"""A shorter history says nothing of nights and weekends."""
_LEAST_BATCHES = 50
_HISTORY = timedelta(days=28)
_FACTOR = 1.5
_LEAST = timedelta(minutes=5)
_DAYS = """
with batches as (
    select
        batch_id,
        min(least(coalesce(first_event_time, ingested_at), ingested_at)) as first_at,
        max(least(coalesce(last_event_time, ingested_at), ingested_at)) as last_at,
        max(ingested_at) as read_at
    from raw.batches
    where stream = $stream and events_read > 0 and ingested_at >= $since::timestamptz
    group by batch_id
),

rests as (
    select
        timezone('UTC', first_at)::date as day,
        epoch(first_at - max(last_at) over before) as seconds
    from batches
    window before as (order by batch_id rows between unbounded preceding and 1 preceding)
),

days as (
    select day, max(seconds) as longest from rests where seconds is not null group by day
)

select
    (select count(*) from batches),
    (select epoch(max(read_at) - min(read_at)) from batches),
    (select longest from days order by longest desc limit 1 offset 1)
"""


def usual_silence(lake: Lake, stream: str, *, now: datetime) -> timedelta | None:
    """How long a stream may be silent before that is unusual; None while its history is too short.

    Of the longest silence of each of the last 28 days the second longest counts, and half as much again: one
    outage does not make the next one usual.

    Args:
        lake: The lake.
        stream: The stream.
        now: UTC.
    """
    parameters = {"stream": stream, "since": (now - _HISTORY).isoformat()}
    ((batches, seconds, longest),) = lake.connection.execute(_DAYS, parameters).fetchall()
    if batches < _LEAST_BATCHES or seconds < LEARNING.total_seconds() or longest is None:
        return None
    return max(_LEAST, timedelta(seconds=_FACTOR * longest))
