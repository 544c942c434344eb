{{ config(materialized='incremental', incremental_strategy='replace', unique_key='order_id') }}

-- Every column is a minimum, a maximum or a sum, so new inspections join what is known of their orders.
with inspections as (
    select
        order_id,
        batch_id,
        event_at,
        -- A number that nobody can have counted stays out of the sums, which would overflow.
        case when inspected between 0 and 1000000 then inspected else 0 end as inspected,
        case when passed between 0 and 1000000 then passed else 0 end as passed,
        case when scrapped between 0 and 1000000 then scrapped else 0 end as scrapped,
        case when defect is not null then struct_pack(at := event_at, defect := defect) end as seen_defect
    from {{ ref('stg_quality_inspections') }}
    where order_id is not null and batch_id > {{ watermark(this, 'last_batch_id') }}
),

new_inspections as (
    select
        order_id,
        count(*) as inspections,
        sum(inspected) as inspected,
        sum(passed) as passed,
        sum(scrapped) as scrapped,
        max(seen_defect) as seen_defect,
        min(event_at) as first_inspected_at,
        max(event_at) as last_inspected_at,
        max(batch_id) as last_batch_id
    from inspections
    group by order_id
),

{%- if is_incremental() %}

known_inspections as (
    select
        order_id,
        inspections,
        inspected,
        passed,
        scrapped,
        case when last_defect is not null then struct_pack(at := last_defect_at, defect := last_defect) end as seen_defect,
        first_inspected_at,
        last_inspected_at,
        last_batch_id
    from {{ this }}
    where order_id in (select new_inspections.order_id from new_inspections)
),

all_inspections as (
    select * from new_inspections
    union all by name
    select * from known_inspections
),

{%- else %}

all_inspections as (
    select * from new_inspections
),

{%- endif %}

merged as (
    select
        order_id,
        sum(inspections)::bigint as inspections,
        sum(inspected)::bigint as inspected,
        sum(passed)::bigint as passed,
        sum(scrapped)::bigint as scrapped,
        max(seen_defect) as seen_defect,
        min(first_inspected_at) as first_inspected_at,
        max(last_inspected_at) as last_inspected_at,
        max(last_batch_id) as last_batch_id
    from all_inspections
    group by order_id
),

final as (
    select
        order_id,
        inspections,
        inspected,
        passed,
        scrapped,
        seen_defect['defect'] as last_defect,
        seen_defect['at'] as last_defect_at,
        first_inspected_at,
        last_inspected_at,
        last_batch_id
    from merged
)

select * from final
