{#
  The stretches of time that some rows touch, as pairs of literals [from, to): whole minutes, at most `most` stretches,
  separated at the longest gaps. Literals let DuckLake skip files, and several stretches keep one late event, or one
  broken clock, from making a batch read everything between.

  Arguments: `rows` is a relation or a parenthesised query, `column` a timestamptz of it, `margin_minutes` widens each stretch; those
  that would then overlap are one, so that `within` gives no row twice. `found` is a dictionary that gets the number of `rows`.
#}
{% macro time_ranges(rows, column, where='true', margin_minutes=0, most=8, found={}) -%}
    {%- if not execute -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set query -%}
        with minutes as (
            select date_trunc('minute', {{ column }}) as minute_at, count(*) as touching
            from {{ rows }} as touched
            where {{ where }}
            group by 1
        ),
        gaps as (
            select *, minute_at - lag(minute_at) over (order by minute_at) as gap from minutes
        ),
        ranked as (
            select *, row_number() over (order by gap desc nulls first, minute_at) as rank from gaps
        ),
        stretches as (
            select
                minute_at,
                touching,
                count(*) filter (where gap is null or (rank <= {{ most }} and gap > interval '{{ 1 + 2 * margin_minutes }} minutes'))
                    over (order by minute_at) as stretch
            from ranked
        )
        select
            (min(minute_at) - interval '{{ margin_minutes }} minutes')::varchar as from_at,
            (max(minute_at) + interval '{{ margin_minutes + 1 }} minutes')::varchar as to_at,
            sum(touching)::bigint as touching
        from stretches
        group by stretch
        order by stretch
    {%- endset -%}
    {%- set ranges = [] -%}
    {%- set counts = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do ranges.append(["timestamptz '" ~ row[0] ~ "'", "timestamptz '" ~ row[1] ~ "'"]) -%}
        {%- do counts.append(row[2] | int) -%}
    {%- endfor -%}
    {%- do found.update({'rows': counts | sum}) -%}
    {{ return(ranges) }}
{%- endmacro %}


{# The rows of a relation within ranges from `time_ranges`, one scan for each: DuckLake skips no file behind an `or`. #}
{% macro within(relation, column, ranges, columns='*') -%}
    {%- for range in ranges %}
    select {{ columns }} from {{ relation }} where {{ column }} >= {{ range[0] }} and {{ column }} < {{ range[1] }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- else %}
    select {{ columns }} from {{ relation }} where false
    {%- endfor %}
{%- endmacro %}
