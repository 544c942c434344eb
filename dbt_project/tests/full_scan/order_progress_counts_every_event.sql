-- The events of all orders are the order events of staging: none lost, none counted twice.
with orders as (
    select coalesce(sum(events), 0) as events from {{ ref('order_progress') }}
),

staged as (
    select count(*) as events
    from {{ ref('stg_production_orders') }}
    where
        order_id is not null
        and batch_id <= {{ watermark_of(ref('order_progress'), 'last_batch_id') }}
)

select
    orders.events as counted,
    staged.events as staged
from orders
cross join staged
where orders.events <> staged.events
