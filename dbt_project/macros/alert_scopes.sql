{#
  What `int_alert_runs` recomputes: per rule and machine with new readings, from where on. That is the first new reading, or
  the start of the run of breaches that it falls into. Returns rows of literals [rule_id, machine_id, from].

  Names come from payloads, so they travel as hex digits: whatever they contain, they cannot leave their literal.
#}
{% macro alert_scopes(readings, rules, where) -%}
    {%- if not execute or not is_incremental() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set new_readings -%}
        select hex(machine_id) as machine, min(event_at)::varchar as first_new_at
        from {{ readings }}
        where {{ where }}
        group by machine_id
    {%- endset -%}
    {%- set touched = run_query(new_readings).rows -%}
    {%- if not touched -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set machines = [] -%}
    {%- for row in touched -%}
        {%- do machines.append('(' ~ from_hex(row[0]) ~ ", timestamptz '" ~ row[1] ~ "')") -%}
    {%- endfor -%}
    {%- set query -%}
        with touched as (
            select * from (values {{ machines | join(', ') }}) as touched (machine_id, first_new_at)
        ),

        -- A literal, so that files and row groups of runs that ended before are skipped.
        runs as (
            select * from {{ this }}
            where closed_at is null or closed_at >= timestamptz '{{ touched | map('last') | sort | first }}'
        )

        select
            hex(rules.rule_id) as rule,
            hex(touched.machine_id) as machine,
            coalesce(min(runs.first_at), touched.first_new_at)::varchar as from_at
        from touched
        cross join {{ rules }} as rules
        left join runs
            on
                touched.machine_id = runs.machine_id
                and rules.rule_id = runs.rule_id
                and touched.first_new_at >= runs.first_at
                and (runs.closed_at is null or touched.first_new_at <= runs.closed_at)
        group by rules.rule_id, touched.machine_id, touched.first_new_at
        order by all
    {%- endset -%}
    {%- set scopes = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do scopes.append([from_hex(row[0]), from_hex(row[1]), "timestamptz '" ~ row[2] ~ "'"]) -%}
    {%- endfor -%}
    {{ return(scopes) }}
{%- endmacro %}


{% macro from_hex(digits) -%}
    {{ return("decode(unhex('" ~ digits ~ "'))") }}
{%- endmacro %}
