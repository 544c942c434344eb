{{ config(materialized='incremental', incremental_strategy='replace') }}

{%- set after = watermark(this, 'last_batch_id') -%}
{%- set readings_relation = ref('int_telemetry_enriched') -%}
{%- set rules_relation = ref('alert_rules') -%}
{%- set until = up_to_now(readings_relation, after) -%}
{%- set is_new = 'machine_id is not null and is_timely and batch_id > ' ~ after ~ ' and ' ~ until -%}
{%- set scopes = alert_scopes(readings_relation, rules_relation, is_new) -%}

{%- if is_incremental() %}
{%- set pairs = [] -%}
{%- for scope in scopes -%}
{%- do pairs.append('(' ~ scope | join(', ') ~ ')') -%}
{%- endfor -%}
{%- set scope_rows = 'select null::varchar as rule_id, null::varchar as machine_id, null::timestamptz as from_at where false' -%}
{%- if pairs -%}
{%- set scope_rows = 'select * from (values ' ~ pairs | join(', ') ~ ') as scopes (rule_id, machine_id, from_at)' -%}
{%- endif %}
{%- if scopes %}
{%- set since = scopes | map('last') | sort | first %}
{{ replaces(
    'replaced.first_at >= ' ~ since ~ ' and exists (select 1 from (' ~ scope_rows ~ ') as scope where'
    ~ ' scope.machine_id = replaced.machine_id and scope.rule_id = replaced.rule_id and replaced.first_at >= scope.from_at)'
) }}
{{ replaces(
    "replaced.kind = 'evaluated' and replaced.machine_id in (select scope.machine_id from (" ~ scope_rows ~ ') as scope)'
) }}
{%- else %}
{{ replaces('false') }}
{%- endif %}
{%- endif %}

{# refuse_stale reads the note behind the number, which is nowhere else when this is incremental. #}
-- What came after batch {{ after }}
with readings as (
    select * from {{ readings_relation }}
    {%- if not is_incremental() %}
    where {{ is_new }}
    {%- elif scopes %}
    where
        machine_id is not null
        and is_timely
        and event_at >= {{ since }}
        and {{ until }}
    {%- else %}
    where false
    {%- endif %}
),

rules as (
    select * from {{ rules_relation }}
),

{%- if is_incremental() %}

scope as (
    {{ scope_rows }}
),

{%- endif %}

measured as (
    select
        rules.rule_id,
        rules.operator,
        rules.threshold,
        readings.machine_id,
        readings.line_id,
        readings.event_at,
        readings.batch_id,
        case rules.metric
            when 'temperature_celsius' then readings.temperature_celsius
            when 'vibration_mm_s' then readings.vibration_mm_s
            when 'power_kw' then readings.power_kw
            when 'fault' then case readings.status when 'fault' then 1.0 else 0.0 end
        end as value,
        time_bucket(interval '10 minutes', readings.event_at) as bucket_at
    from readings
    inner join rules on rules.machine_kind is null or readings.machine_kind = rules.machine_kind
    {%- if is_incremental() %}
    inner join scope
        on
            readings.machine_id = scope.machine_id
            and rules.rule_id = scope.rule_id
            and readings.event_at >= scope.from_at
    {%- endif %}
),

judged as (
    select
        *,
        case operator
            when '>' then value > threshold
            when '>=' then value >= threshold
            when '<' then value < threshold
            when '<=' then value <= threshold
        end as is_breach
    from measured
    where value is not null
),

buckets as (
    select
        rule_id,
        machine_id,
        bucket_at,
        bool_or(is_breach) as has_breach
    from judged
    group by rule_id, machine_id, bucket_at
),

-- Long histories are mostly quiet. A run lies in buckets with a breach, and its end in one of them or in the next one.
eventful as (
    select
        rule_id,
        machine_id,
        bucket_at
    from buckets
    qualify has_breach or lag(has_breach) over (partition by rule_id, machine_id order by bucket_at)
),

near_a_breach as (
    select judged.*
    from judged
    semi join eventful
        on
            judged.rule_id = eventful.rule_id
            and judged.machine_id = eventful.machine_id
            and judged.bucket_at = eventful.bucket_at
),

-- Readings of one instant count as one, and a breach wins: then the order by time is total and a run has one start.
instants as (
    select
        rule_id,
        operator,
        machine_id,
        event_at,
        max(line_id) as line_id,
        bool_or(is_breach) as is_breach,
        count(*) filter (where is_breach) as readings,
        case when operator in ('>', '>=') then max(value) else min(value) end as peak_value,
        max(batch_id) as last_batch_id
    from near_a_breach
    group by rule_id, operator, machine_id, event_at
),

marked as (
    select
        *,
        -- "filter" instead of "case" would make DuckDB count each frame from its start.
        count(case when not is_breach then 1 end) over (
            partition by rule_id, machine_id order by event_at rows unbounded preceding
        ) as run_number,
        lead(case when not is_breach then event_at end ignore nulls) over (
            partition by rule_id, machine_id order by event_at
        ) as next_quiet_at
    from instants
),

runs as (
    select
        'run' as kind,
        rule_id,
        machine_id,
        max(line_id) as line_id,
        min(event_at) as first_at,
        max(event_at) as last_at,
        min(next_quiet_at) as closed_at,
        sum(readings)::bigint as readings,
        case when operator in ('>', '>=') then max(peak_value) else min(peak_value) end as peak_value,
        max(last_batch_id) as last_batch_id
    from marked
    where is_breach
    group by rule_id, operator, machine_id, run_number
),

-- One more row per machine says up to which batch it was judged, or quiet machines would be read again and again.
evaluated as (
    select
        'evaluated' as kind,
        machine_id,
        max(batch_id) as last_batch_id
    from readings
    {%- if is_incremental() %}
    where machine_id in (select scope.machine_id from scope)
    {%- endif %}
    group by machine_id
),

final as (
    select * from runs
    union all by name
    select * from evaluated
)

select * from final
