{# What streams.yml declares about a stream: `fields` (name → type and path), `event_time`, `business_id`. #}
{% macro stream_meta(stream) -%}
    {%- for node in graph.sources.values() if node.source_name == 'raw' and node.name == stream -%}
        {{ return(node.config.meta) }}
    {%- endfor -%}
    {%- do exceptions.raise_compiler_error("Stream '" ~ stream ~ "' is not declared; add it to streams.yml") -%}
{%- endmacro %}


{# The columns that every staging model has besides the declared fields. #}
{% macro envelope_columns() -%}
    {{ return(['batch_id', 'source_partition', 'position', 'event_id', 'event_key', 'event_at', 'clock_ahead_seconds', 'ingested_at', 'payload_hash', 'cast_errors']) }}
{%- endmacro %}


{#
  The events of a stream after a batch (and `until`, a predicate), with the declared fields as typed columns. Tombstones are left out: they say
  nothing about an event; raw keeps them.

  - `event_at`: the declared event-time field, else the broker's timestamp, else the time of ingestion: the first that is plausible
    (plausible_times.sql); never null. The field itself shows what was sent.
  - `clock_ahead_seconds`: by how much the time that was not plausible lies after the receipt; else null.
  - `cast_errors`: the fields that are in the payload and whose value their type cannot hold as it was sent, or whose keys leave
    open which value was meant (their columns are null); `payload` if DuckDB cannot read the JSON at all, if none of the fields is in
    it, or if it has no element of the array that is unnested.
  - `payload_hash`, where the stream has a business id: shows whether two deliveries are the same event.

  With `times_only` the same events with their `event_at`, and of the fields none but the event time: to look at times before all is read.
#}
{% macro typed_events(stream, after=0, until='true', times_only=false) -%}
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
    {%- set where = ('' if meta.envelope == 'cloudevents' else 'payload is not null and ') ~ 'batch_id > ' ~ after ~ ' and ' ~ until -%}
    {%- if times_only -%}
        {%- set fields = {meta.event_time: fields[meta.event_time]} if meta.event_time else {} -%}
    {%- endif -%}
    {{ millrace.typed_payloads(relation, fields, meta.event_time, where, hashed=meta.business_id and not times_only, tolerance=meta.get('clock_tolerance_minutes', 10), envelope=meta.envelope, unnest=meta.get('unnest')) }}
{%- endmacro %}
