with order_events as (
    select * from {{ ref('stg_production_orders') }}
),

final as (
    select
        batch_id,
        event_id,
        order_event_id,
        order_id,
        machine_id,
        product,
        quantity,
        event as stage,
        case event when 'created' then 1 when 'started' then 2 when 'completed' then 3 when 'cancelled' then 4 end
            as stage_number,
        event_at,
        ingested_at
    from order_events
)

select * from final
