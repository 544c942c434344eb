with rejects as (
    select * from {{ source('raw', 'rejects') }}
),

resolutions as (
    select * from {{ source('raw', 'reject_resolutions') }}
),

final as (
    select
        rejects.stream,
        date_trunc('hour', rejects.ingested_at) as hour_at,
        rejects.reason,
        count(*) as rejects,
        count(*) filter (where resolutions.outcome is null) as open_rejects,
        sum(rejects.payload_bytes)::bigint as payload_bytes,
        min(rejects.event_id) as first_event_id,
        max(rejects.ingested_at) as last_rejected_at
    from rejects
    left join resolutions on rejects.stream = resolutions.stream and rejects.event_id = resolutions.event_id
    group by rejects.stream, hour_at, rejects.reason
)

select * from final
