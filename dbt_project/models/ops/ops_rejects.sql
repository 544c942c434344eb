with rejects as (
    select * from {{ source('raw', 'rejects') }}
),

final as (
    select
        stream,
        date_trunc('hour', ingested_at) as hour_at,
        reason,
        count(*) as rejects,
        sum(payload_bytes)::bigint as payload_bytes,
        min(event_id) as first_event_id,
        max(ingested_at) as last_rejected_at
    from rejects
    group by stream, hour_at, reason
)

select * from final
