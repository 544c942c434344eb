-- The minutes that the newest batch touched hold every reading of staging: the re-opening of windows works.
{% set newest = watermark_of(ref('machine_minute'), 'last_batch_id') %}

with minutes as (
    select
        machine_id,
        minute_at,
        readings
    from {{ ref('machine_minute') }}
    where last_batch_id = {{ newest }}
),

readings as (
    select
        machine_id,
        event_at
    from {{ ref('stg_plant_telemetry') }}
    where
        batch_id <= {{ newest }}
        and event_at >= (select min(minutes.minute_at) from minutes)
        and event_at < (select max(minutes.minute_at) + interval 1 minute from minutes)
),

staged as (
    select
        machine_id,
        date_trunc('minute', event_at) as minute_at,
        count(*) as readings
    from readings
    group by all
)

select
    minutes.machine_id,
    minutes.minute_at,
    minutes.readings as counted,
    staged.readings as staged
from minutes
left join staged using (machine_id, minute_at)
where minutes.readings is distinct from staged.readings
