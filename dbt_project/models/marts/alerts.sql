{{ config(materialized='view') }}

with runs as (
    select * from {{ ref('int_alert_runs') }}
    where kind = 'run'
),

rules as (
    select * from {{ ref('alert_rules') }}
),

final as (
    select
        runs.rule_id,
        runs.machine_id,
        runs.line_id,
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
