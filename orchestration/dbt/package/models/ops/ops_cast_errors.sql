{%- set streams = staged_streams() -%}

with events as (
    {%- for stream in streams %}
    select
        '{{ stream }}' as stream,
        event_id,
        ingested_at,
        cast_errors
    from {{ ref(project_name, 'stg_' ~ stream) }}
    where ingested_at > now() - interval '{{ var("ops_window_hours", 24) }} hours'
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- else %}
    select
        stream,
        _dlt_load_id as event_id,
        ingested_at,
        []::varchar [] as cast_errors
    from {{ source('raw', 'batches') }}
    where false
    {%- endfor %}
),

totals as (
    select
        stream,
        count(*) as events
    from events
    group by stream
),

errors as (
    select
        stream,
        unnest(cast_errors) as field,
        event_id,
        ingested_at
    from events
    where len(cast_errors) > 0
),

final as (
    select
        errors.stream,
        errors.field,
        count(*) as errors,
        max(totals.events) as events,
        round(count(*) / max(totals.events), 6) as share,
        max_by(errors.event_id, row(errors.ingested_at, errors.event_id)) as last_event_id,
        max(errors.ingested_at) as last_error_at
    from errors
    inner join totals on errors.stream = totals.stream
    group by errors.stream, errors.field
)

select * from final
