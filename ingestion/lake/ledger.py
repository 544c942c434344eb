"""raw.batches: which positions each load holds. Positions come from here and from nowhere else.

A ledger row is written in the same transaction as the rows it speaks of (loader.py).
"""

from dataclasses import dataclass

from ingestion.lake.lake import Lake
from ingestion.log.positions import Position

_POSITIONS = """
select
    stream, source_partition, max(batch_id), max(end_position),
    arg_max_null(columns(name -> name in (
        'log_id', 'log_end_position', 'retired', 'last_event', 'log_end_proof'
    )), batch_id)
from raw.batches
where ? is null or stream = ?
group by stream, source_partition
"""  # of the columns, those that there are: a lake of an earlier release lacks the last ones
_FORMAT_STATES = """
select source_partition, arg_max(format_state, batch_id)
from raw.batches
where stream = $stream and format_state is not null and ($before is null or batch_id < $before)
group by source_partition
"""


@dataclass(frozen=True)
class StreamState:
    """What the lake knows of a stream.

    Attributes:
        last_batch_id: 0 before the first batch.
        positions: Partition → how far it is in the lake.
    """

    last_batch_id: int
    positions: dict[str, Position]


def read_state(lake: Lake, stream: str) -> StreamState:
    """The stream's newest batch and positions. For writing, hold the stream's writer lock."""
    return read_states(lake, stream).get(stream, StreamState(0, {}))


def read_states(lake: Lake, stream: str | None = None) -> dict[str, StreamState]:
    """The state of every stream that has a batch, or of one; also of a lake that is not migrated yet."""
    states: dict[str, StreamState] = {}
    for name, partition, batch_id, end, *newest in lake.query(_POSITIONS, [stream, stream]):
        before = states.get(name, StreamState(0, {}))
        log_id, log_end, retired, last_event, end_proof = (*newest, None, None, None)[:5]
        position = Position(
            int(end), log_id or "", retired or "", int(log_end or 0), last_event or "", end_proof or ""
        )
        last = max(before.last_batch_id, int(batch_id))
        states[name] = StreamState(last, before.positions | {partition: position})
    return states


def read_format_states(lake: Lake, stream: str, *, before: int | None = None) -> dict[str, str]:
    """What a format that keeps state decodes a stream's next events by; nothing of a partition without any.

    Args:
        lake: The lake, migrated.
        stream: The stream's name.
        before: As it was before this batch; None: now.
    """
    named = {"stream": stream, "before": before}
    return dict(lake.connection.execute(_FORMAT_STATES, named).fetchall())


@dataclass(frozen=True)
class Defect:
    """A place where the ledger does not add up, as one sentence."""

    stream: str
    source_partition: str
    batch_id: int
    message: str


# One sentence a row, the first that holds: where windows do not join, counts may differ for that reason, and
# a repair (an empty window with resolutions) is judged by other rules than a batch that read the log.
_JUDGED = """
retries as (
    select
        landed_batch_id as batch_id, regexp_replace(event_id, '@[0-9]+$', '') as source_partition,
        count(*) as retried
    from raw.reject_resolutions
    where stream = $stream and landed_batch_id > $since
    group by all
),

windows as (
    select
        stream, source_partition, batch_id, start_position, end_position, events_read, events_landed,
        events_rejected, start_position - coalesce(positions_skipped, 0) as joins_at,
        coalesce(retried, 0) as retried,
        lag(end_position) over (partition by stream, source_partition order by batch_id) as previous_end
    from {batches}
    left join retries using (source_partition, batch_id)
    where stream = $stream and batch_id >= $since
),

judged as (
    select source_partition, batch_id, events_read, case
        when joins_at > previous_end then
            'positions ' || previous_end || ' to ' || joins_at || ' are missing (gap)'
        when joins_at < previous_end then
            'positions ' || joins_at || ' to ' || previous_end || ' were read twice (overlap)'
        when events_read <> events_landed + events_rejected then
            'read ' || events_read || ' events but landed ' || events_landed || ' and rejected '
            || events_rejected
        when retried > 0 and (start_position < end_position or retried <> events_read) then
            'read ' || events_read || ' events where ' || retried
            || ' rejects landed and the log was not read'
        when retried = 0 and events_read > end_position - start_position then
            'read ' || events_read || ' events in a window of ' || (end_position - start_position)
    end as message
    from windows
)
"""
_WRONG = """
select source_partition, batch_id, message
from judged
where message is not null and batch_id > $since
order by batch_id
limit 100
"""
_SUMS = """
ledger as (
    select
        batch_id, sum(events_landed) as landed, sum(events_rejected) as rejected
    from {batches}
    where stream = $stream and batch_id > $since
    group by batch_id
),

landed as (
    select batch_id, count(*) as rows_found from raw."{stream}" where batch_id > $since group by batch_id
),

rejected as (
    select batch_id, count(*) as rows_found
    from raw.rejects
    where stream = $stream and batch_id > $since
    group by batch_id
)
"""
_DIFFERENT = """
select
    coalesce(ledger.batch_id, landed.batch_id, rejected.batch_id) as batch_id,
    'the ledger says ' || coalesce(ledger.landed, 0) || ' landed and ' || coalesce(ledger.rejected, 0)
    || ' rejected, the tables hold ' || coalesce(landed.rows_found, 0) || ' and '
    || coalesce(rejected.rows_found, 0) as message
from ledger
full join landed on ledger.batch_id = landed.batch_id
full join rejected on coalesce(ledger.batch_id, landed.batch_id) = rejected.batch_id
where
    coalesce(ledger.landed, 0) <> coalesce(landed.rows_found, 0)
    or coalesce(ledger.rejected, 0) <> coalesce(rejected.rows_found, 0)
order by 1
limit 100
"""
_SHOWN = (f"with {_JUDGED}{_WRONG}", f"with {_SUMS}{_DIFFERENT}")
_ALL = f"""
with mine as materialized (
    select * from raw.batches where stream = $stream and batch_id >= $since
),
{_JUDGED},
{_SUMS}
select null as source_partition, count(distinct batch_id) as batch_id, null as message,
    coalesce(sum(events_read), 0)::bigint as events_read
from judged
where batch_id > $since
union all
(select source_partition, batch_id, message, null from ({_WRONG}))
union all
(select '', batch_id, message, null from ({_DIFFERENT}))
"""
"""One look at the ledger for all, in one version of the lake."""


@dataclass(frozen=True)
class Proof:
    """The outcome of checking a stream's ledger.

    Attributes:
        stream: The stream's name.
        batches: How many batches were checked.
        events_read: How many events these say they read.
        defects: What does not add up; empty: the proof holds.
        queries: SQL that shows the defects.
    """

    stream: str
    batches: int
    events_read: int
    defects: tuple[Defect, ...]
    queries: tuple[str, ...]


def prove(lake: Lake, stream: str, *, since_batch: int = 0) -> Proof:
    """Check that windows join without gap or overlap and that read = landed + rejected = rows found.

    Args:
        lake: The lake.
        stream: The stream's name.
        since_batch: Check the batches after this one only; the work is proportional to them.
    """
    parameters = {"stream": stream, "since": since_batch}
    sql = _ALL.format(batches="mine", stream=stream)
    found = lake.connection.execute(sql, parameters).fetchall()
    ((_, batches, _, events_read),) = (row for row in found if row[2] is None)
    wrong = sorted((row for row in found if row[2] is not None), key=lambda row: (row[0] == "", row[1]))
    defects = tuple(Defect(stream, row[0], int(row[1]), row[2]) for row in wrong)
    shown = tuple(
        query.format(batches="raw.batches", stream=stream)
        .replace("$stream", f"'{stream}'")
        .replace("$since", str(since_batch))
        .strip()
        for query in _SHOWN
    )
    return Proof(stream, int(batches), int(events_read), defects, shown)
