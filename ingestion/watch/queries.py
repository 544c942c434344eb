"""The SQL of verify.py: what the lake holds of a stream, partition by partition."""

from ingestion.declare.stream import Stream
from ingestion.watch.changes import contents_of_change, part_of_envelope, which_change
from ingestion.watch.raw_events import events_of, field_text

_NUMBERS = ("bigint", "integer", "double", "decimal")

RANGE = """
select coalesce(min(batch_id), 0), coalesce(max(batch_id), 0)
from raw.batches
where
    stream = $stream
    and ($since is null or ingested_at >= $since::timestamptz)
    and ($until is null or ingested_at < $until::timestamptz)
"""

COUNTS = """
with ledger as (
    select
        source_partition, min(start_position) as first, max(end_position) as last, sum(events_read) as read,
        coalesce(sum(positions_skipped), 0) as skipped
    from raw.batches
    where stream = $stream and batch_id between $first and $last
    group by all
),

landed as (
    select
        source_partition, count(*) as landed, count(distinct position) as positions,
        count(*) filter (where payload is null) as tombstones,
        min(position) as lowest, max(position) as highest
    from raw."{table}"
    where batch_id between $first and $last
    group by all
),

rejected as (
    select source_partition, count(*) as rejects, count(*) filter (where outcome is null) as open_rejects
    from raw.rejects
    left join raw.reject_resolutions as resolutions using (stream, event_id)
    where stream = $stream and rejects.batch_id between $first and $last
    group by all
),

retried as (
    select regexp_replace(event_id, '@[0-9]+$', '') as source_partition, count(*) as retried
    from raw.reject_resolutions
    where stream = $stream and landed_batch_id between $first and $last
    group by all
),

doubled as (
    select events.source_partition, count(*) as doubled
    from raw."{table}" as events
    join raw.rejects as rejects on rejects.stream = $stream and rejects.event_id = events.event_id
    anti join raw.reject_resolutions as resolutions
        on resolutions.stream = $stream and resolutions.event_id = events.event_id
        and resolutions.outcome = 'landed'
    where events.batch_id between $first and $last
    group by all
)

select
    source_partition, first, last, read::bigint as read, skipped::bigint as skipped, lowest, highest,
    coalesce(landed, 0) as landed, coalesce(positions, 0) as positions, coalesce(tombstones, 0) as tombstones,
    coalesce(rejects, 0) as rejects, coalesce(open_rejects, 0) as open_rejects,
    coalesce(retried, 0) as retried, coalesce(doubled, 0) as doubled
from ledger
left join landed using (source_partition)
left join rejected using (source_partition)
left join retried using (source_partition)
left join doubled using (source_partition)
"""

STAGING = """
with events as (
    select
        batch_id, source_partition, event_id, {key} as business_key,
        case when {key} is not null then md5_number_lower({contents}) end as hash
    from {events} as events
),

staged as (
    select batch_id, source_partition, event_id from staging."stg_{table}"
),

known as (
    select business_key, count(*) as times, list(distinct hash) as hashes
    from events
    semi join staged using (event_id)
    where business_key is not null
    group by all
),

left_out as (
    select
        events.source_partition, case
            when list_contains(known.hashes, events.hash) then 'redelivered'
            when known.hashes is not null then 'conflicting'
            when batch_id > (select coalesce(max(batch_id), 0) from staged) then 'waiting'
            else 'missing'
        end as kind
    from events
    anti join staged using (event_id)
    left join known on known.business_key = events.business_key
    where batch_id between $first and $last
)

select source_partition, 'staged' as kind, count(*) from staged
where batch_id between $first and $last group by all
union all
select source_partition, kind, count(*) from left_out group by all
union all
select source_partition, 'unfounded', count(*) from staged anti join events using (event_id)
where batch_id between $first and $last group by all
union all
select source_partition, 'twice', count(*) - count(distinct event_id) from staged
where batch_id between $first and $last group by all
union all
select '', 'same_business_id', coalesce(sum(times - 1), 0) from known
union all
select '', 'same_id_other_payload', coalesce(sum(len(hashes) - 1), 0) from known
"""


def business_key(stream: Stream) -> str:
    """SQL for the business id as one text; null where a part is missing, as staging has it."""
    parts = []
    for name in stream.business_id:
        if name not in stream.fields:
            parts.append(part_of_envelope(name))
            continue
        spec = stream.fields[name]
        text = f"nullif({field_text(spec, stream)}, '')"
        parts.append(f"try_cast({text} as {spec.type})::varchar" if spec.type.startswith(_NUMBERS) else text)
    if parts and stream.envelope == "debezium":
        parts.append(which_change())
    return " || chr(31) || ".join(parts) or "null::varchar"


def contents(stream: Stream) -> str:
    """SQL for what two deliveries of one event have in common."""
    if stream.envelope == "cloudevents":
        return "try(json(payload))::varchar"  # an event of a batch is printed again, so all are
    if stream.elements is not None:
        around = [
            field_text(spec, stream) for spec in stream.fields.values() if spec.place and spec.place.encloses
        ]
        return f"concat_ws(chr(31), {', '.join(['payload::varchar', *around])})"
    return contents_of_change() if stream.envelope == "debezium" else "payload"


def staging_counts(stream: Stream) -> str:
    """SQL for what staging holds of a stream, and why it lacks the rest."""
    return STAGING.format(
        table=stream.name, key=business_key(stream), contents=contents(stream), events=events_of(stream)
    )
