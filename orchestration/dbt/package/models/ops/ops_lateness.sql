{%- set streams = staged_streams() -%}

with events as (
    {%- for stream in streams %}
    select
        '{{ stream }}' as stream,
        batch_id,
        source_partition,
        position,
        event_at,
        clock_ahead_seconds,
        ingested_at
    from {{ ref(project_name, 'stg_' ~ stream) }}
    where ingested_at > now() - interval '{{ var("ops_window_hours", 24) }} hours'
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- else %}
    select
        stream,
        batch_id,
        source_partition,
        start_position as position,
        started_at as event_at,
        null::double as clock_ahead_seconds,
        ingested_at
    from {{ source('raw', 'batches') }}
    where false
    {%- endfor %}
),

measured as (
    select
        stream,
        clock_ahead_seconds,
        date_diff('millisecond', event_at, ingested_at) / 1000 as delay_seconds,
        date_diff(
            'millisecond',
            event_at,
            max(event_at) over (
                partition by stream order by batch_id, source_partition, position rows unbounded preceding
            )
        ) / 1000 as lateness_seconds
    from events
),

final as (
    select
        stream,
        count(*) as events,
        round(quantile_disc(delay_seconds, 0.5), 3) as delay_p50_seconds,
        round(quantile_disc(delay_seconds, 0.95), 3) as delay_p95_seconds,
        round(quantile_disc(delay_seconds, 0.99), 3) as delay_p99_seconds,
        round(max(delay_seconds), 3) as delay_max_seconds,
        round(quantile_disc(lateness_seconds, 0.99), 3) as lateness_p99_seconds,
        round(max(lateness_seconds), 3) as lateness_max_seconds,
        count(*) filter (where lateness_seconds = 0) as in_order,
        count(*) filter (where lateness_seconds > 0 and lateness_seconds <= 10) as late_within_10_seconds,
        count(*) filter (where lateness_seconds > 10 and lateness_seconds <= 60) as late_within_1_minute,
        count(*) filter (where lateness_seconds > 60 and lateness_seconds <= 3600) as late_within_1_hour,
        count(*) filter (where lateness_seconds > 3600) as late_beyond_1_hour,
        count(clock_ahead_seconds) as clock_ahead,
        max(clock_ahead_seconds) as clock_ahead_max_seconds
    from measured
    group by stream
)

select * from final
