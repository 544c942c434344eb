with readings as (
    select * from {{ ref('stg_plant_telemetry') }}
),

machines as (
    select * from {{ ref('machines') }}
),

final as (
    select
        readings.batch_id,
        readings.event_id,
        readings.reading_id,
        readings.machine_id,
        coalesce(machines.line_id, readings.line_id) as line_id,
        machines.machine_kind,
        machines.machine_name,
        machines.machine_id is not null as is_known_machine,
        readings.event_at,
        date_trunc('minute', readings.event_at) as minute_at,
        readings.ingested_at,
        readings.temperature_celsius,
        readings.vibration_mm_s,
        readings.power_kw,
        readings.status,
        readings.event_at > readings.ingested_at - interval '{{ var("timely_hours") }} hours' as is_timely
    from readings
    left join machines on readings.machine_id = machines.machine_id
)

select * from final
