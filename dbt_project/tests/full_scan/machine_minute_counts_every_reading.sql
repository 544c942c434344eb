-- The readings of all minutes are the readings of staging: none lost, none counted twice.
with minutes as (
    select coalesce(sum(readings), 0) as readings from {{ ref('machine_minute') }}
),

staged as (
    select count(*) as readings
    from {{ ref('stg_plant_telemetry') }}
    where
        machine_id is not null
        and batch_id <= {{ watermark_of(ref('machine_minute'), 'last_batch_id') }}
)

select
    minutes.readings as counted,
    staged.readings as staged
from minutes
cross join staged
where minutes.readings <> staged.readings
