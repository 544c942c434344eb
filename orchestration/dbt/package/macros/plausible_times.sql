{#
  No clock is believed that is ahead of the event's own receipt: an event cannot have happened after it was received. A time is
  plausible up to `clock_tolerance_minutes` (streams.yml) after that, and however long before: the past is old, not wrong.

  The receipt is the broker's time, where that can be one: within 1990 and the time of ingestion (and the tolerance); else the
  time of ingestion. Both are kept in raw, so a rebuild or a replay years later decides the same.
#}
{% macro received_at(broker_time, ingested_at, tolerance) -%}
    case
        when {{ broker_time }} >= timestamptz '1990-01-01 00:00:00+00' and ({{ millrace.is_ahead(broker_time, ingested_at, tolerance) }}) is not true
            then {{ broker_time }}
        else {{ ingested_at }}
    end
{%- endmacro %}


{# Whether a time lies too far after the receipt to be believed; null where one of them is not known. #}
{% macro is_ahead(time, received_at, tolerance) -%}
    {{ time }} > {{ received_at }} + interval '{{ tolerance }} minutes'
{%- endmacro %}


{#
  When an event happened: the first of its declared time, the broker's and the time of ingestion that can be believed. `declared` is SQL of the
  declared time, none where the stream has none.
#}
{% macro believed_time(declared, broker_time, received_at, ingested_at, tolerance) -%}
    coalesce(
        {%- if declared %}
        case when ({{ millrace.is_ahead(declared, received_at, tolerance) }}) is not true then {{ declared }} end,
        {%- endif %}
        case when ({{ millrace.is_ahead(broker_time, ingested_at, tolerance) }}) is not true then {{ broker_time }} end,
        {{ ingested_at }}
    )
{%- endmacro %}


{# By how many seconds the time that was not believed lies after the receipt; null where it was believed. #}
{% macro clock_ahead(declared, broker_time, received_at, ingested_at, tolerance) -%}
    {%- set pairs = [(broker_time, ingested_at, declared ~ ' is null and ' if declared else '')] -%}
    {%- if declared -%}
        {%- do pairs.insert(0, (declared, received_at, '')) -%}
    {%- endif -%}
    case
        {%- for time, received, only in pairs %}
        when {{ only }}{{ millrace.is_ahead(time, received, tolerance) }}
            then date_diff('millisecond', {{ received }}, {{ time }}::timestamptz) / 1000
        {%- endfor %}
    end
{%- endmacro %}
