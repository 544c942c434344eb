{{ config(materialized='view') }}

with inspections as (
    select * from {{ ref('int_order_inspections') }}
),

orders as (
    select * from {{ ref('order_progress') }}
),

-- Scanners may be faster than the orders' topic: an inspection of an order that nobody has heard of counts, too.
final as (
    select
        inspections.order_id,
        orders.product,
        orders.quantity,
        orders.machine_id,
        orders.state,
        inspections.inspections,
        inspections.inspected,
        inspections.passed,
        inspections.inspected - inspections.passed - inspections.scrapped as reworked,
        inspections.scrapped,
        round(inspections.passed / nullif(inspections.inspected, 0), 4) as first_pass_yield,
        inspections.last_defect,
        inspections.first_inspected_at,
        inspections.last_inspected_at,
        inspections.last_batch_id
    from inspections
    left join orders on inspections.order_id = orders.order_id
)

select * from final
