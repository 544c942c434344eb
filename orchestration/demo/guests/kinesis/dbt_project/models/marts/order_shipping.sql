{{ config(unique_key='order_id') }}

-- Every column is a minimum, a maximum or a count, so new scans join what is known of their orders.
with new_scans as (
    select
        order_id,
        count(*) as scans,
        max(carrier) as carrier,
        min(event_at) filter (where stage = 'picked_up') as picked_up_at,
        min(event_at) filter (where stage = 'delivered') as delivered_at,
        max(event_at) as last_event_at,
        max(batch_id) as last_batch_id
    from {{ ref('stg_parcel_scans') }}
    where order_id is not null and batch_id > {{ watermark(this, 'last_batch_id') }}
    group by order_id
),

scans as (
    select * from new_scans
    {%- if is_incremental() %}
    union all by name
    select * exclude (hours_on_the_way) from {{ this }}
    where order_id in (select new_scans.order_id from new_scans)
    {%- endif %}
),

final as (
    select
        order_id,
        sum(scans)::bigint as scans,
        max(carrier) as carrier,
        min(picked_up_at) as picked_up_at,
        min(delivered_at) as delivered_at,
        date_diff('second', min(picked_up_at), min(delivered_at)) / 3600 as hours_on_the_way,
        max(last_event_at) as last_event_at,
        max(last_batch_id) as last_batch_id
    from scans
    group by order_id
)

select * from final
