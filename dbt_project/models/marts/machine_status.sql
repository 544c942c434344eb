{{ config(unique_key='machine_id') }}

with readings as (
    select * from {{ ref('int_telemetry_enriched') }}
    where machine_id is not null and is_timely and batch_id > {{ watermark(this, 'last_batch_id') }}
),

latest as (
    select
        machine_id,
        line_id,
        machine_kind,
        status,
        temperature_celsius,
        vibration_mm_s,
        power_kw,
        event_at as last_event_at,
        ingested_at as last_ingested_at,
        event_id as last_event_id,
        max(batch_id) over (partition by machine_id) as last_batch_id
    from readings
    qualify row_number() over (partition by machine_id order by event_at desc, event_id desc) = 1
),

{%- if is_incremental() %}

known as (
    select * from {{ this }}
    where machine_id in (select latest.machine_id from latest)
),

candidates as (
    select * from latest
    union all by name
    select * from known
),

{%- else %}

candidates as (
    select * from latest
),

{%- endif %}

final as (
    select
        machine_id,
        line_id,
        machine_kind,
        status,
        temperature_celsius,
        vibration_mm_s,
        power_kw,
        last_event_at,
        last_ingested_at,
        last_event_id,
        max(last_batch_id) over (partition by machine_id) as last_batch_id
    from candidates
    qualify row_number() over (partition by machine_id order by last_event_at desc, last_event_id desc) = 1
)

select * from final
