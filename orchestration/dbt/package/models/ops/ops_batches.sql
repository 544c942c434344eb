with batches as (
    select * from {{ source('raw', 'batches') }}
),

final as (
    select
        stream,
        batch_id,
        count(*) as partitions,
        sum(events_read)::bigint as events_read,
        sum(events_landed)::bigint as events_landed,
        sum(events_rejected)::bigint as events_rejected,
        sum(bytes_read)::bigint as bytes_read,
        coalesce(sum(positions_skipped), 0)::bigint as positions_skipped,
        min(first_event_time) as first_event_at,
        max(least(last_event_time, ingested_at)) as last_event_at,
        min(started_at) as started_at,
        max(ingested_at) as ingested_at,
        date_diff('millisecond', min(started_at), max(ingested_at)) / 1000 as duration_seconds
    from batches
    group by stream, batch_id
)

select * from final
