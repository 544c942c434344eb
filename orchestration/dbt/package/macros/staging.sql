{#
  A whole staging model: the typed events of a stream, each once. A model is `{{ staging('my_stream') }}` and nothing else.

  Only batches after the watermark are read. Of several deliveries with one business id the first stays, by batch,
  partition and position; events without a business id all stay. A delivery is compared with what is already there within
  the variable `dedup_window_minutes` (60) around its event time: an unchanged redelivery is found however late it comes, one whose
  event time was stamped again only within the window. The test `staged_once` finds the rest.
#}
{% macro staging(stream) -%}
    {%- if not execute -%}
        {{ return('select * from ' ~ source('raw', stream)) }}
    {%- endif -%}
    {%- set after = millrace.watermark(this) -%}
    {%- set events = millrace.typed_events(stream, after, until=millrace.up_to_now(source('raw', stream), after)) -%}
    {%- set ids = millrace.stream_meta(stream).business_id or [] -%}
    {%- set id_columns = [] -%}
    {%- for id in ids -%}
        {%- do id_columns.append(adapter.quote(id)) -%}
    {%- endfor -%}
    {%- set id_list = id_columns | join(', ') -%}

with events as (
    {{ events }}
)

{%- if ids %},

first_deliveries as (
    select * from events
    qualify
        row_number() over (
            partition by
                {{ id_list }},
                case when {% for id in id_columns %}{{ id }} is null{{ ' or ' if not loop.last }}{% endfor %} then event_id end
            order by batch_id, source_partition, position
        ) = 1
)

{%- if is_incremental() %},

known as (
    {{ millrace.within(this, 'event_at', millrace.time_ranges('(' ~ events ~ ')', 'event_at', margin_minutes=var('dedup_window_minutes', 60)), columns=id_list) }}
),

final as (
    select first_deliveries.*
    from first_deliveries
    anti join known using ({{ id_list }})
)
{%- else %},

final as (
    select * from first_deliveries
)
{%- endif %}
{%- else %},

final as (
    select * from events
)
{%- endif %}

select * from final
{%- endmacro %}
