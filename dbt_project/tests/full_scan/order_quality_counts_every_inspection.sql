-- The inspections of all orders are the inspections of staging: none lost, none counted twice.
with orders as (
    select coalesce(sum(inspections), 0) as inspections from {{ ref('order_quality') }}
),

staged as (
    select count(*) as inspections
    from {{ ref('stg_quality_inspections') }}
    where
        order_id is not null
        and batch_id <= {{ watermark_of(ref('order_quality'), 'last_batch_id') }}
)

select
    orders.inspections as counted,
    staged.inspections as staged
from orders
cross join staged
where orders.inspections <> staged.inspections
