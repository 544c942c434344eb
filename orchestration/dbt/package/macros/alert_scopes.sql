{#
  What `alert_runs` recomputes: per rule and key with new readings, from where on. That is the first new reading, or the
  start of the run of breaches that it falls into. Returns rows of literals [rule_id, key, from].

  Names come from payloads, so they travel as hex digits: whatever they contain, they cannot leave their literal.
#}
{% macro alert_scopes(readings, rules, key, where) -%}
    {%- if not execute or not is_incremental() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set new_readings -%}
        select hex({{ key }}::varchar) as key, min(event_at)::varchar as first_new_at
        from {{ readings }}
        where {{ where }}
        group by {{ key }}::varchar
    {%- endset -%}
    {%- set touched = run_query(new_readings).rows -%}
    {%- if not touched -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set keys = [] -%}
    {%- for row in touched -%}
        {%- do keys.append('(' ~ millrace.from_hex(row[0]) ~ ", timestamptz '" ~ row[1] ~ "')") -%}
    {%- endfor -%}
    {%- set query -%}
        with touched as (
            select * from (values {{ keys | join(', ') }}) as touched ({{ key }}, first_new_at)
        ),

        rules as ({{ rules }}),

        -- A literal, so that files and row groups of runs that ended before are skipped.
        runs as (
            select * from {{ this }}
            where closed_at is null or closed_at >= timestamptz '{{ touched | map('last') | sort | first }}'
        )

        select
            hex(rules.rule_id) as rule,
            hex(touched.{{ key }}) as key,
            coalesce(min(runs.first_at), touched.first_new_at)::varchar as from_at
        from touched
        cross join rules
        left join runs
            on
                touched.{{ key }} = runs.{{ key }}
                and rules.rule_id = runs.rule_id
                and touched.first_new_at >= runs.first_at
                and (runs.closed_at is null or touched.first_new_at <= runs.closed_at)
        group by rules.rule_id, touched.{{ key }}, touched.first_new_at
        order by all
    {%- endset -%}
    {%- set scopes = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do scopes.append([millrace.from_hex(row[0]), millrace.from_hex(row[1]), "timestamptz '" ~ row[2] ~ "'"]) -%}
    {%- endfor -%}
    {{ return(scopes) }}
{%- endmacro %}


{# Scopes as rows. #}
{% macro scope_rows(scopes, key) -%}
    {%- set rows = [] -%}
    {%- for scope in scopes -%}
        {%- do rows.append('(' ~ scope | join(', ') ~ ')') -%}
    {%- endfor -%}
    {%- if rows -%}
        {{ return('select * from (values ' ~ rows | join(', ') ~ ') as scopes (rule_id, ' ~ key ~ ', from_at)') }}
    {%- endif -%}
    {{ return('select null::varchar as rule_id, null::varchar as ' ~ key ~ ', null::timestamptz as from_at where false') }}
{%- endmacro %}


{% macro from_hex(digits) -%}
    {{ return("decode(unhex('" ~ digits ~ "'))") }}
{%- endmacro %}
