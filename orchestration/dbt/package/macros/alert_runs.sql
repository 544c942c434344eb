{#
  From readings to alerts, in two models. `alert_runs` is incremental: unbroken runs of readings that breach a rule, short ones
  too. `alerts` is a view: the runs that last as long as their rule asks for. What a rule is: docs/rules.md.

  A reading beyond `threshold` opens a run; one that is back within `close_threshold` ends it; what lies between does neither.
  A late reading re-opens its key from the run into which it falls, so many small batches give what a full refresh gives.

  Arguments: `readings` has one row a reading, with event_at and batch_id; `rules` is a relation, `key` a column of `readings`;
  `metrics` are the columns that rules may name, or a dictionary name → SQL; `carry` are columns that alerts show; `where` keeps
  readings out; `applies` says which rule is for which reading.
#}
{% macro alert_runs(readings, rules, key, metrics, carry=[], where='true', applies='true') -%}
    {%- do config(materialized='incremental', incremental_strategy='replace') -%}
    {%- set after = watermark(this, 'last_batch_id') -%}
    {%- set until = up_to_now(readings, after) -%}
    {%- set judged = key ~ ' is not null and event_at is not null and (' ~ where ~ ')' -%}
    {%- set is_new = judged ~ ' and batch_id > ' ~ after ~ ' and ' ~ until -%}
    {%- set scopes = millrace.alert_scopes(readings, millrace.rule_rows(rules), key, is_new) -%}
    {%- set scope_rows = millrace.scope_rows(scopes, key) -%}
    {%- if is_incremental() %}
    {%- if scopes %}
{{ millrace.replaces(
    'replaced.first_at >= ' ~ scopes | map('last') | sort | first ~ ' and exists (select 1 from (' ~ scope_rows ~ ') as scope where'
    ~ ' scope.' ~ key ~ ' = replaced.' ~ key ~ ' and scope.rule_id = replaced.rule_id and replaced.first_at >= scope.from_at)'
) }}
{{ millrace.replaces(
    "replaced.kind = 'evaluated' and replaced." ~ key ~ ' in (select scope.' ~ key ~ ' from (' ~ scope_rows ~ ') as scope)'
) }}
    {%- else %}
{{ millrace.replaces('false') }}
    {%- endif %}
    {%- endif %}

{# refuse_stale reads the note behind the number, which is nowhere else when this is incremental. #}
-- What came after batch {{ after }}
with readings as (
    select *, {{ key }}::varchar as alert_key from {{ readings }}
    {%- if not is_incremental() %}
    where {{ is_new }}
    {%- elif scopes %}
    where
        {{ judged }}
        and event_at >= {{ scopes | map('last') | sort | first }}
        and {{ until }}
    {%- else %}
    where false
    {%- endif %}
),

rules as (
    {{ millrace.rule_rows(rules, others=true) }}
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
        rules.close_threshold,
        readings.alert_key,
        {%- for column in carry %}
        readings.{{ column }},
        {%- endfor %}
        readings.event_at,
        readings.batch_id,
        case rules.metric
            {%- for name in metrics %}
            when '{{ name }}' then ({{ metrics[name] if metrics is mapping else 'readings.' ~ name }})::double
            {%- endfor %}
        end as value,
        time_bucket(interval '10 minutes', readings.event_at) as bucket_at
    from readings
    inner join rules on {{ applies }}
    {%- if is_incremental() %}
    inner join scope
        on
            readings.alert_key = scope.{{ key }}
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
        end as is_breach,
        -- Back within limits, which hysteresis may have set apart from what is not a breach.
        case operator
            when '>' then value <= close_threshold
            when '>=' then value < close_threshold
            when '<' then value >= close_threshold
            when '<=' then value > close_threshold
        end and not is_breach as is_quiet
    from measured
    where value is not null
),

buckets as (
    select
        rule_id,
        alert_key,
        bucket_at,
        bool_or(is_breach) as has_breach
    from judged
    where is_breach or is_quiet
    group by rule_id, alert_key, bucket_at
),

-- Long histories are mostly quiet. A run lies in buckets with a breach, and its end in one of them or in the next one.
eventful as (
    select
        rule_id,
        alert_key,
        bucket_at
    from buckets
    qualify has_breach or lag(has_breach) over (partition by rule_id, alert_key order by bucket_at)
),

near_a_breach as (
    select judged.*
    from judged
    semi join eventful
        on
            judged.rule_id = eventful.rule_id
            and judged.alert_key = eventful.alert_key
            and judged.bucket_at = eventful.bucket_at
    where is_breach or is_quiet
),

-- Readings of one instant count as one, and a breach wins: then the order by time is total and a run has one start.
instants as (
    select
        rule_id,
        operator,
        alert_key,
        event_at,
        {%- for column in carry %}
        max({{ column }}) as {{ column }},
        {%- endfor %}
        bool_or(is_breach) as is_breach,
        count(*) filter (where is_breach) as readings,
        case when operator in ('>', '>=') then max(value) else min(value) end as peak_value,
        max(batch_id) as last_batch_id
    from near_a_breach
    group by rule_id, operator, alert_key, event_at
),

marked as (
    select
        *,
        -- "filter" instead of "case" would make DuckDB count each frame from its start.
        count(case when not is_breach then 1 end) over (
            partition by rule_id, alert_key order by event_at rows unbounded preceding
        ) as run_number,
        lead(case when not is_breach then event_at end ignore nulls) over (
            partition by rule_id, alert_key order by event_at
        ) as next_quiet_at
    from instants
),

runs as (
    select
        'run' as kind,
        rule_id,
        alert_key as {{ key }},
        {%- for column in carry %}
        max({{ column }}) as {{ column }},
        {%- endfor %}
        min(event_at) as first_at,
        max(event_at) as last_at,
        min(next_quiet_at) as closed_at,
        sum(readings)::bigint as readings,
        case when operator in ('>', '>=') then max(peak_value) else min(peak_value) end as peak_value,
        max(last_batch_id) as last_batch_id
    from marked
    where is_breach
    group by rule_id, operator, alert_key, run_number
),

-- One more row per key says up to which batch it was judged, or quiet keys would be read again and again.
evaluated as (
    select
        'evaluated' as kind,
        alert_key as {{ key }},
        max(batch_id) as last_batch_id
    from readings
    {%- if is_incremental() %}
    where alert_key in (select scope.{{ key }} from scope)
    {%- endif %}
    group by alert_key
),

final as (
    select * from runs
    union all by name
    select * from evaluated
)

select * from final
{%- endmacro %}


{# The alerts of a model of `alert_runs`: one row per rule, key and episode. Arguments as there; the rules are read as they are now. #}
{% macro alerts(runs, rules, key, carry=[]) -%}
    {%- do config(materialized='view') -%}
with runs as (
    select * from {{ runs }}
    where kind = 'run'
),

rules as (
    {{ millrace.rule_rows(rules) }}
),

final as (
    select
        runs.rule_id,
        runs.{{ key }},
        {%- for column in carry %}
        runs.{{ column }},
        {%- endfor %}
        rules.severity,
        rules.description,
        rules.metric,
        rules.operator,
        rules.threshold,
        runs.first_at as opened_at,
        runs.closed_at,
        runs.last_at as last_breach_at,
        date_diff('millisecond', runs.first_at, runs.last_at) / 1000 as breach_seconds,
        runs.readings,
        runs.peak_value
    from runs
    inner join rules on runs.rule_id = rules.rule_id
    where
        runs.readings >= rules.min_readings
        and runs.last_at >= runs.first_at + to_seconds(rules.for_seconds)
)

select * from final
{%- endmacro %}


{#
  The rules with every column that a rule may have: a seed may leave out those that have a default. `others` are the seed's own
  columns beside them. A view has none of those: DuckDB keeps no order in `exclude`, and the view would be made again by each run.
#}
{% macro rule_rows(rules, others=false) -%}
    select
        rule_id::varchar as rule_id,
        metric::varchar as metric,
        operator::varchar as operator,
        threshold::double as threshold,
        coalesce(try_cast(close_threshold as double), threshold::double) as close_threshold,
        coalesce(try_cast(for_seconds as double), 0) as for_seconds,
        coalesce(try_cast(min_readings as bigint), 1) as min_readings,
        coalesce(nullif(severity::varchar, ''), 'warning') as severity,
        description::varchar as description
        {%- if others %},
        declared.* exclude (
            rule_id, metric, operator, threshold, close_threshold, for_seconds, min_readings, severity, description
        )
        {%- endif %}
    from (
        select * from {{ rules }}
        union all by name
        select
            null::varchar as rule_id, null::varchar as metric, null::varchar as operator, null::double as threshold,
            null::double as close_threshold, null::double as for_seconds, null::bigint as min_readings,
            null::varchar as severity, null::varchar as description
        where false
    ) as declared
{%- endmacro %}
