{# What streams.yml declares about a stream: `fields` (name → type and path), `event_time`, `business_id`. #}
{% macro stream_meta(stream) -%}
    {%- for node in graph.sources.values() if node.source_name == 'raw' and node.name == stream -%}
        {{ return(node.config.meta) }}
    {%- endfor -%}
    {%- do exceptions.raise_compiler_error("Stream '" ~ stream ~ "' is not declared; add it to streams.yml") -%}
{%- endmacro %}


{# The columns that every staging model has besides the declared fields. #}
{% macro envelope_columns() -%}
    {{ return(['batch_id', 'source_partition', 'position', 'event_id', 'event_key', 'event_at', 'ingested_at', 'cast_errors']) }}
{%- endmacro %}


{#
  The events of a stream after a batch (and `until`, a predicate), with the declared fields as typed columns. Tombstones are left out: they say
  nothing about an event; raw keeps them.

  - `event_at`: the declared event-time field, else the broker's timestamp, else the time of ingestion; never null.
  - `cast_errors`: the fields that are in the payload but are not of their type (their columns are null), or `payload`
    if DuckDB cannot read the JSON at all.
#}
{% macro typed_events(stream, after=0, until='true') -%}
    {%- set relation = source('raw', stream) -%}
    {%- if not execute -%}
        {{ return('select * from ' ~ relation) }}
    {%- endif -%}
    {%- set meta = millrace.stream_meta(stream) -%}
    {%- set fields = meta.fields or {} -%}
    {%- for name in fields if name in millrace.envelope_columns() -%}
        {%- do exceptions.raise_compiler_error(
            "Field '" ~ name ~ "' of stream '" ~ stream ~ "' has the name of a column that staging adds; "
            ~ "call it otherwise in streams.yml and add 'path: " ~ name ~ "' to it"
        ) -%}
    {%- endfor -%}
    {%- set paths = [] -%}
    {%- for spec in fields.values() -%}
        {%- do paths.append("'$'" if spec.path == '.' else "'" ~ '$."' ~ spec.path | replace('.', '"."') ~ '"' ~ "'") -%}
    {%- endfor -%}
    select
        batch_id,
        source_partition,
        position,
        event_id,
        event_key,
        coalesce({% if meta.event_time %}{{ adapter.quote(meta.event_time) }}, {% endif %}event_time, ingested_at) as event_at,
        ingested_at,
        {%- for name in fields %}
        {{ adapter.quote(name) }},
        {%- endfor %}
        case
            when not is_json then ['payload']
            else list_filter(
                [
                    {%- for name in fields %}
                    case when texts[{{ loop.index }}] is not null and {{ adapter.quote(name) }} is null then '{{ name }}' end
                    {{- ',' if not loop.last }}
                    {%- endfor %}
                ]::varchar [],
                lambda name: name is not null
            )
        end as cast_errors
    from (
        select
            batch_id,
            source_partition,
            position,
            event_id,
            event_key,
            event_time,
            ingested_at,
            is_json,
            {%- for name, spec in fields.items() %}
            {{ millrace.typed_value('texts[' ~ loop.index ~ ']', spec.type) }} as {{ adapter.quote(name) }},
            {%- endfor %}
            texts
        from (
            select
                batch_id,
                source_partition,
                position,
                event_id,
                event_key,
                event_time,
                ingested_at,
                json_valid(payload) as is_json,
                {% if paths -%}
                case when json_valid(payload) then json_extract_string(payload, [{{ paths | join(', ') }}]) end as texts
                {%- else -%}
                []::varchar [] as texts
                {%- endif %}
            from {{ relation }}
            where payload is not null and batch_id > {{ after }} and {{ until }}
        ) as extracted
    ) as typed
{%- endmacro %}


{#
  A JSON value's text as a type, or null. Stricter than a plain cast where that would change a value in silence: no
  rounding to integers, no NaN or infinity, no year beyond 9999. Times may be ISO 8601 (UTC if they say no zone) or numbers
  since 1970, whose size shows whether it is seconds, milliseconds, microseconds or nanoseconds.
#}
{% macro typed_value(text, type) -%}
    {%- if type == 'varchar' -%}
        {{ text }}
    {%- elif type in ('bigint', 'integer') -%}
        case when regexp_full_match({{ text }}, '[+-]?\d+(\.0+)?([eE]\+?\d+)?') then try_cast({{ text }} as {{ type }}) end
    {%- elif type == 'double' -%}
        case when isfinite(try_cast({{ text }} as double)) then try_cast({{ text }} as double) end
    {%- elif type == 'timestamp' -%}
        {{ millrace.typed_timestamp(text) }}
    {%- elif type == 'json' -%}
        case when json_valid({{ text }}) then {{ text }}::json else to_json({{ text }}) end
    {%- else -%}
        try_cast({{ text }} as {{ type }})
    {%- endif -%}
{%- endmacro %}


{% macro typed_timestamp(text) -%}
    {%- set number = 'try_cast(' ~ text ~ ' as double)' -%}
    case
        when regexp_full_match({{ text }}, '\d{1,19}(\.\d+)?') then
            make_timestamptz(
                round(
                    {{ number }} * case
                        when {{ number }} < 1e11 then 1e6
                        when {{ number }} < 1e14 then 1e3
                        when {{ number }} < 1e17 then 1
                        else 1e-3
                    end
                )::bigint
            )
        when
            try_cast({{ text }} as timestamptz) >= timestamptz '0001-01-01 00:00:00+00'
            and try_cast({{ text }} as timestamptz) < timestamptz '9999-12-31 00:00:00+00'
            and regexp_matches({{ text }}, '^\d')
            then try_cast({{ text }} as timestamptz)
    end
{%- endmacro %}
