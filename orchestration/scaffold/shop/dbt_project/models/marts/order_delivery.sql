{{ config(materialized='incremental', unique_key='order_id') }}

with orders as (
    select * from {{ ref('stg_orders') }}
    where order_id is not null
),

deliveries as (
    select * from {{ ref('stg_deliveries') }}
),

-- Orders with something new of either stream; a delivery that comes before its order waits for it.
changed as (
    select order_id from orders
    where batch_id > {{ watermark(this, 'last_order_batch_id') }}
    union
    select order_id from deliveries
    where batch_id > {{ watermark(this, 'last_delivery_batch_id') }}
),

-- By event_at, which believes no clock that is ahead.
first_deliveries as (
    select
        order_id,
        min(event_at) as delivered_at,
        max(batch_id) as last_batch_id
    from deliveries
    where order_id in (select changed.order_id from changed)
    group by order_id
),

final as (
    select
        orders.order_id,
        orders.customer,
        orders.amount_eur,
        orders.event_at as ordered_at,
        first_deliveries.delivered_at,
        date_diff('second', orders.event_at, first_deliveries.delivered_at) / 3600 as hours_to_delivery,
        orders.batch_id as last_order_batch_id,
        coalesce(first_deliveries.last_batch_id, 0) as last_delivery_batch_id
    from orders
    left join first_deliveries on orders.order_id = first_deliveries.order_id
    where orders.order_id in (select changed.order_id from changed)
)

select * from final
