{{ config(unique_key='order_id') }}

-- Every column is a minimum, a maximum or a count, so new events join what is known of their orders: no old event is read.
with order_events as (
    select * from {{ ref('int_order_events') }}
    where order_id is not null and batch_id > {{ watermark(this, 'last_batch_id') }}
),

new_progress as (
    select
        order_id,
        min(struct_pack(at := event_at, product := product, quantity := quantity)) as origin,
        max(
            struct_pack(at := event_at, stage_number := coalesce(stage_number, 0), machine_id := machine_id, stage := stage)
        ) as latest,
        min(event_at) filter (where stage = 'created') as created_at,
        min(event_at) filter (where stage = 'started') as started_at,
        min(event_at) filter (where stage = 'completed') as completed_at,
        min(event_at) filter (where stage = 'cancelled') as cancelled_at,
        count(*) as events,
        max(batch_id) as last_batch_id
    from order_events
    group by order_id
),

{%- if is_incremental() %}

known_progress as (
    select
        order_id,
        struct_pack(at := first_event_at, product := product, quantity := quantity) as origin,
        struct_pack(at := last_event_at, stage_number := last_stage_number, machine_id := machine_id, stage := state) as latest,
        created_at,
        started_at,
        completed_at,
        cancelled_at,
        events,
        last_batch_id
    from {{ this }}
    where order_id in (select new_progress.order_id from new_progress)
),

progress as (
    select * from new_progress
    union all by name
    select * from known_progress
),

{%- else %}

progress as (
    select * from new_progress
),

{%- endif %}

merged as (
    select
        order_id,
        min(origin) as origin,
        max(latest) as latest,
        min(created_at) as created_at,
        min(started_at) as started_at,
        min(completed_at) as completed_at,
        min(cancelled_at) as cancelled_at,
        sum(events)::bigint as events,
        max(last_batch_id) as last_batch_id
    from progress
    group by order_id
),

final as (
    select
        order_id,
        origin['product'] as product,
        origin['quantity'] as quantity,
        latest['machine_id'] as machine_id,
        -- What is over stays over: an event of a device whose clock is wrong has the time of its receipt, which may be later.
        case
            when cancelled_at >= coalesce(completed_at, cancelled_at) then 'cancelled'
            when completed_at is not null then 'completed'
            else latest['stage']
        end as state,
        latest['stage_number'] as last_stage_number,
        created_at,
        started_at,
        completed_at,
        cancelled_at,
        round(date_diff('millisecond', created_at, completed_at) / 1000, 3) as lead_seconds,
        origin['at'] as first_event_at,
        latest['at'] as last_event_at,
        events,
        last_batch_id
    from merged
)

select * from final
