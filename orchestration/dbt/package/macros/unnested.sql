{#
  One row for each element of an array in the payloads of raw (`unnest` in streams.yml): the element is `payload`, and the
  identity has its index, as in orders-0@17#3. A payload without an element has one row without payload, which staging names
  in `cast_errors`: an empty array, none at all, something else in its place, or a key on the way that stands twice.

  What is taken from the enclosing payload is taken before its elements part: `outer` has SQL of columns by name.
#}
{% macro unnested(relation, where, steps, outer) -%}
    (
        select
            * exclude (_elements, _found, _element, _index)
            replace (case when _found = 0 then event_id else event_id || '#' || _index end as event_id, _element as payload)
        from (
            select
                *,
                unnest(case when _found = 0 then [null::varchar] else _elements end) as _element,
                unnest(case when _found = 0 then [0] else range(_found) end) as _index
            from (
                select
                    *,
                    coalesce(length(_elements), 0) as _found
                from (
                    select
                        *,
                        {%- for name, column in outer.items() %}
                        {{ column }} as {{ name }},
                        {%- endfor %}
                        case when {{ millrace.stands_once(steps) }} then {{ millrace.elements_of('payload', steps) }} end as _elements
                    from {{ relation }}
                    where {{ where }}
                ) as enclosing
            ) as counted
        ) as parted
    )
{%- endmacro %}


{# The order in which staged events arrived, from what every staging table has: p-0@9#10 before p-0@10#9. #}
{% macro arrival_of_id() -%}
    row(
        batch_id,
        regexp_extract(event_id, '^(.*)@', 1),
        try_cast(regexp_extract(event_id, '@(\d+)(#\d+)?$', 1) as bigint),
        coalesce(try_cast(regexp_extract(event_id, '#(\d+)$', 1) as bigint), 0)
    )
{%- endmacro %}


{# The texts of an array's elements, number by number as they were sent. #}
{% macro elements_of(payload, steps) -%}
    case
        when {{ millrace.prints_otherwise(payload) }} then
            list_transform(
                try({{ millrace.every_element(millrace.marked_numbers(payload), steps) }}),
                lambda text: {{ millrace.unmarked('text', payload) }}
            )
        else try({{ millrace.every_element(payload, steps) }}::varchar [])
    end
{%- endmacro %}


{% macro every_element(json, steps) -%}
    json_extract(json_extract({{ json }}, {{ millrace.literal(millrace.json_path(steps)) }}), '$[*]')
{%- endmacro %}


{# Whether each key of a path stands once in its object. #}
{% macro stands_once(steps) -%}
    {%- for step in steps -%}
        {%- if step is string -%}
            {%- set keys = 'try(json_keys(payload, ' ~ millrace.literal(millrace.json_path(steps[:loop.index0])) ~ '))' -%}
            length(list_filter({{ keys }}, lambda key: key = {{ millrace.literal(step) }})) = 1 and {% endif -%}
    {%- endfor -%}
    true
{%- endmacro %}


{# The path of some keys and indices as DuckDB's JSON functions take it; Python has the same in ingestion/declare/paths.py. #}
{% macro json_path(steps) -%}
    {%- set keys = steps | select('string') | list -%}
    {%- set text = keys | join -%}
    {%- set is_special = '*' in text or '"' in text or '\\' in text or '' in keys -%}
    {%- if not is_special -%}$
        {%- for step in steps -%}
            {%- if step is string -%}."{{ step }}"{%- elif step < 0 -%}[#{{ step }}]{%- else -%}[{{ step }}]{%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {%- for step in steps -%}/{{ step | string | replace('~', '~0') | replace('/', '~1') }}{%- endfor -%}
    {%- endif -%}
{%- endmacro %}
