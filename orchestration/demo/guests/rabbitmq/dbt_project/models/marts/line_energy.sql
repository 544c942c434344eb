{{ config(unique_key='line_id') }}

-- Every column is a minimum, a maximum or a count, so new readings join what is known of their lines.
with readings as (
    select
        line_id,
        count(*) as readings,
        min(energy_kwh) as first_kwh,
        max(energy_kwh) as last_kwh,
        max(event_at) as last_read_at,
        max(batch_id) as last_batch_id
    from {{ ref('stg_energy_meters') }}
    where line_id is not null and batch_id > {{ watermark(this, 'last_batch_id') }}
    group by line_id
    {%- if is_incremental() %}
    union all by name
    select
        line_id,
        readings,
        first_kwh,
        last_kwh,
        last_read_at,
        last_batch_id
    from {{ this }}
    {%- endif %}
),

final as (
    select
        line_id,
        sum(readings)::bigint as readings,
        min(first_kwh) as first_kwh,
        max(last_kwh) as last_kwh,
        round(max(last_kwh) - min(first_kwh), 3) as used_kwh,
        max(last_read_at) as last_read_at,
        max(last_batch_id) as last_batch_id
    from readings
    group by line_id
)

select * from final
