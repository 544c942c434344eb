"""Messages that lack something by what they say themselves: values that nobody has named, numbers left out.

Which keys of a payload say so is the format's (formats/port.py, Completeness). A declared `sequence` counts
exactly and over all time: sequences.py. Here the newest messages are looked at, as raw has them.
"""

from dataclasses import dataclass

from ingestion.declare.stream import Stream
from ingestion.formats.port import Completeness
from ingestion.lake.lake import Lake
from ingestion.watch.sql_text import literal

NEWEST_MINUTES = 10
"""Batches of this time before the newest one are looked at."""
NEWEST_EVENTS = 20_000
"""And no older batch once those looked at hold so many."""
_FIRST_BATCH = """
with batches as (
    select batch_id, sum(events_landed) as events, max(ingested_at) as ingested_at
    from raw.batches
    where stream = ?
    group by batch_id
),

counted as (
    select
        batch_id, ingested_at, max(ingested_at) over () as newest_at,
        coalesce(
            sum(events) over (order by batch_id desc rows between unbounded preceding and 1 preceding), 0
        ) as newer
    from batches
)

select min(batch_id)
from counted
where ingested_at >= newest_at - interval '{minutes} minutes' and newer < {events}
"""
_COUNTS = """
with events as (
    select
        source_partition, position, event_id,
        {sender} as sender,
        try_cast(json_extract_string(payload, {unnamed}) as bigint) as unnamed,
        try_cast(json_extract_string(payload, {number}) as bigint) as number,
        coalesce(json_extract_string(payload, {kind}) = {begins}, false) as begins
    from raw."{stream}"
    where batch_id >= {first} and payload is not null
),

steps as (
    select
        sender,
        case
            when not begins
                then number - 1 - lag(number) over (partition by source_partition, sender order by position)
        end as step
    from events
    where number is not null
),

-- The shorter way round the counter: what comes late takes back what was missed; a number that stands twice
-- in a row says nothing.
signed as (
    select
        sender,
        case
            when step = -1 then 0
            when step >= {half} then step - {size}
            when step < -{half} then step + {size}
            else step
        end as step
    from steps
    where step is not null
),

senders as (
    select sender, greatest(sum(step), 0) as missing from signed group by sender
)

select
    count(*),
    count(*) filter (where unnamed > 0),
    coalesce(sum(unnamed) filter (where unnamed > 0), 0),
    coalesce(max_by(event_id, position) filter (where unnamed > 0), ''),
    coalesce((select sum(missing) from senders), 0),
    (select count(*) from senders where missing > 0),
    coalesce((select max_by(sender, (missing, sender)) from senders where missing > 0), '')
from events
"""


@dataclass(frozen=True)
class Incomplete:
    """What a stream's newest messages lack.

    Attributes:
        messages: How many were looked at.
        unnamed: Of these, messages with a value that nobody has named.
        values: How many such values they hold.
        event_id: The newest of them; empty: there is none.
        missing: Messages that never came, by the numbers of those that did.
        senders: Of how many senders.
        sender: The one that lacks most; empty: none does.
    """

    messages: int = 0
    unnamed: int = 0
    values: int = 0
    event_id: str = ""
    missing: int = 0
    senders: int = 0
    sender: str = ""

    @property
    def unnamed_share(self) -> float:
        """The share of messages with such a value, 0 to 1."""
        return self.unnamed / self.messages if self.messages else 0.0

    @property
    def missing_share(self) -> float:
        """The share that never came of those that were sent, 0 to 1."""
        return self.missing / (self.messages + self.missing) if self.missing else 0.0


def count_incomplete(lake: Lake, stream: Stream, said: Completeness) -> Incomplete:
    """Count what the newest messages of a stream lack; its raw table exists.

    Args:
        lake: The lake.
        stream: The stream.
        said: Which keys of a payload say so.
    """
    asked = _FIRST_BATCH.format(minutes=NEWEST_MINUTES, events=NEWEST_EVENTS)
    first = lake.query(asked, [stream.name])[0][0]
    if first is None:
        return Incomplete()
    size = said.wraps_at + 1
    senders = (f"json_extract_string(payload, {_key(each)})" for each in said.sender)
    sql = _COUNTS.format(
        sender=f"concat_ws('/', {', '.join(senders)})",
        unnamed=_key(said.unnamed),
        number=_key(said.number),
        kind=_key(said.kind),
        begins=literal(said.begins),
        stream=stream.name,
        first=int(first),
        half=size // 2,
        size=size,
    )
    messages, unnamed, values, event_id, missing, count, sender = lake.query(sql)[0]
    return Incomplete(messages, unnamed, int(values), event_id, int(missing), count, sender)


def _key(name: str) -> str:
    return literal(f'$."{name}"')
