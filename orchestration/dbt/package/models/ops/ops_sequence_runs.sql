{{ config(
    enabled=counted_streams() | length > 0,
    materialized='incremental',
    incremental_strategy='sequences',
    on_schema_change='fail',
    pre_hook='{{ millrace.turn() }}'
) }}
{%- set declared = counted_streams() -%}
{%- for stream in declared %}
-- depends_on: {{ ref(project_name, 'stg_' ~ stream) }}
{%- endfor %}
{%- set readings = millrace.sequence_readings(declared) if execute else [] %}

with final as (
    {%- for reading in readings %}
    /* read: {{ tojson({'stream': reading.stream, 'mark': reading.mark, 'is_whole': reading.is_whole}) }} :read */
    {%- if reading.is_whole or reading.first_day %}
    {{ millrace.sequence_rows(reading) }}
    union all by name
    {%- endif %}
    {%- if reading.is_whole or reading.newest > reading.after %}
    {{ millrace.sequence_mark(reading) }}
    union all by name
    {%- endif %}
    {%- endfor %}
    select
        ''::varchar as stream, ''::varchar as sender, date '1970-01-01' as event_on, ''::varchar as kind,
        0::bigint as first_index, 0::bigint as last_index, 0::bigint as steps, 0::bigint as events,
        null::timestamptz as first_at, null::timestamptz as last_at, 0::bigint as first_batch_id,
        null::timestamptz as first_ingested_at, 0::bigint as batch_id, null::timestamptz as ingested_at,
        ''::varchar as declared
    where false
)

select * from final
