{{ config(unique_key=['machine_id', 'minute_at']) }}

{%- set after = watermark(this, 'last_batch_id') -%}
{%- set readings_relation = ref('int_telemetry_enriched') -%}
{%- set until = up_to_now(readings_relation, after) -%}
{%- set is_new = 'machine_id is not null and batch_id > ' ~ after ~ ' and ' ~ until -%}

{%- if is_incremental() %}
{%- set ranges = time_ranges(readings_relation, 'event_at', where=is_new) %}
{%- for range in ranges %}
{{ replaces('minute_at >= ' ~ range[0] ~ ' and minute_at < ' ~ range[1]) }}
{%- else %}
{{ replaces('false') }}
{%- endfor %}

with touched as (
    select distinct
        machine_id,
        minute_at
    from {{ readings_relation }}
    where {{ is_new }}
),

candidates as (
    {{ within(readings_relation, 'event_at', ranges) }}
),

readings as (
    select candidates.*
    from candidates
    semi join touched using (machine_id, minute_at)
    where {{ until }}
),

{%- else %}

with readings as (
    select * from {{ readings_relation }}
    where {{ is_new }}
),

{%- endif %}

-- Sums of floats depend on their order, sums of decimals do not: a minute that is counted again comes out the same.
final as (
    select
        machine_id,
        max(line_id) as line_id,
        minute_at,
        count(*) as readings,
        round(avg(try_cast(temperature_celsius as decimal(18, 6))), 3) as temperature_celsius_avg,
        min(temperature_celsius) as temperature_celsius_min,
        max(temperature_celsius) as temperature_celsius_max,
        round(avg(try_cast(vibration_mm_s as decimal(18, 6))), 3) as vibration_mm_s_avg,
        min(vibration_mm_s) as vibration_mm_s_min,
        max(vibration_mm_s) as vibration_mm_s_max,
        round(avg(try_cast(power_kw as decimal(18, 6))), 3) as power_kw_avg,
        min(power_kw) as power_kw_min,
        max(power_kw) as power_kw_max,
        round(count(*) filter (where status = 'running') / count(*), 4) as running_share,
        count(*) filter (where status = 'fault') as fault_readings,
        min(event_at) as first_event_at,
        max(event_at) as last_event_at,
        max(batch_id) as last_batch_id
    from readings
    group by machine_id, minute_at
)

select * from final
