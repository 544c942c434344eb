with batches as (
    select * from {{ source('raw', 'batches') }}
),

latest as (
    select * from batches
    qualify row_number() over (partition by stream, source_partition order by batch_id desc) = 1
),

final as (
    select
        stream,
        source_partition,
        end_position as position,
        log_end_position,
        greatest(log_end_position - end_position, 0) as messages_behind,
        case
            when log_end_position <= end_position then 0.0
            when last_event_time is null then null
            else date_diff('millisecond', least(last_event_time, ingested_at), ingested_at) / 1000
        end as seconds_behind,
        least(last_event_time, ingested_at) as last_event_at,
        batch_id as last_batch_id,
        ingested_at as measured_at
    from latest
)

select * from final
