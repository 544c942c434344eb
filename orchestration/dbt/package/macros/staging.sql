{#
  A whole staging model: the typed events of a stream, each once. A model is `{{ staging('my_stream') }}` and nothing else.

  Only batches after the watermark are read. Deliveries with one business id and one payload are one event: the first stays, by
  batch, partition and position. With another payload they are a conflict, which `on_conflict` decides and conflicts.sql counts.
  Events without a business id all stay; null and the empty string are none. A delivery is compared with what is already there
  within `dedup_window_minutes` around its event time: an unchanged redelivery is found however late it comes, one whose event
  time was stamped again only within the window. The test `staged_once` finds the rest.

  With `latest=true`, of a stream of changes: the newest state of each row instead (latest.sql).
#}
{% macro staging(stream, latest=false) -%}
    {%- if not execute -%}
        {{ return('select * from ' ~ source('raw', stream)) }}
    {%- endif -%}
    {%- if latest -%}
        {{ return(millrace.latest(stream)) }}
    {%- endif -%}
    {%- do millrace.rebuild_beside(stream) -%}
    {%- set after = millrace.watermark(this) -%}
    {%- set until = millrace.up_to_now(source('raw', stream), after) -%}
    {%- set events = millrace.typed_events(stream, after, until=until) -%}
    {%- set ranges = [] -%}
    {#- A project whose macros do not forward `should_full_refresh` appends; its table may lack the column. -#}
    {%- set outdated = is_incremental() and millrace.id_list(stream) and millrace.is_outdated() -%}
    {%- if is_incremental() and millrace.id_list(stream) -%}
        {%- set times = millrace.typed_events(stream, after, until=until, times_only=true) -%}
        {%- set found = {} -%}
        {%- do ranges.extend(millrace.delivery_ranges(stream, '(' ~ times ~ ')', found)) -%}
        {%- if outdated -%}
            {%- do log(this ~ ' keeps what another declaration made: run \'millrace upgrade-project\', so that it is built again', info=True) -%}
        {%- else -%}
            {{ millrace.deliveries_note(stream, after, until, ranges, found.get('rows')) }}
        {%- endif -%}
    {%- endif %}
    {{ millrace.staged_rows(stream, events, this if is_incremental() else none, ranges, outdated=outdated) }}
{%- endmacro %}


{# The stretches of time in which a table may hold other deliveries of these events; `found` gets how many these are. #}
{% macro delivery_ranges(stream, events, found={}) -%}
    {%- set declared = millrace.stream_meta(stream).dedup_window_minutes -%}
    {%- set window = declared if declared is not none else var('dedup_window_minutes', 60) -%}
    {{ return(millrace.time_ranges(events, 'event_at', margin_minutes=window, found=found)) }}
{%- endmacro %}


{# Of typed events (SQL) those that staging keeps; `table` is what it holds within `ranges` already, none where it is made. #}
{% macro staged_rows(stream, events, table, ranges, outdated=false) -%}
    {%- set id_list = millrace.id_list(stream) -%}
    {%- set rule = millrace.stream_meta(stream).on_conflict or 'first' -%}
    {%- set key = id_list ~ (', payload_hash' if rule == 'keep_all' else '') -%}
    {%- set arrival = millrace.arrival(stream) %}
    {%- if not id_list %}
select * from (
    {{ events }}
) as events
    {%- else %}
    {%- set no_id = 'case when ' ~ millrace.lacks_id(stream) ~ ' then event_id end' %}
with events as (
    {{ events }}
),

    {%- if table %}

known as (
    select * from (
        {{ millrace.within(table, 'event_at', ranges, columns=id_list ~ (', batch_id' if rule == 'last' else '') ~ ((', null::bigint as payload_hash' if outdated else ', payload_hash') if rule in ('last', 'keep_all') else '')) }}
    ) as staged
    where not ({{ millrace.lacks_id(stream) }})
),
    {%- endif %}

    {%- if rule == 'last' %}

{# A delivery changes an event if its payload is another one than that of the delivery before it. #}
compared as (
    select
        events.*,
        lag(payload_hash) over (partition by {{ id_list }}, {{ no_id }} order by {{ arrival }}) as hash_before
    from events
),

changes as (
    select compared.* exclude (hash_before)
    from compared
    {%- if table %}
    left join (select {{ id_list }}, max_by(payload_hash, batch_id) as known_hash from known group by {{ id_list }}) as newest
        using ({{ id_list }})
    where payload_hash is distinct from coalesce(hash_before, known_hash)
    {%- else %}
    where payload_hash is distinct from hash_before
    {%- endif %}
),

final as (
    select * from changes
    qualify row_number() over (
        partition by {{ id_list }}, {{ no_id }}
        order by {{ arrival | replace(',', ' desc,') }} desc
    ) = 1
)
    {%- else %}

first_deliveries as (
    select * from events
    qualify row_number() over (partition by {{ key }}, {{ no_id }} order by {{ arrival }}) = 1
),

final as (
    select first_deliveries.*
    from first_deliveries
    {%- if table %}
    anti join known using ({{ key }})
    {%- endif %}
)
    {%- endif %}

select * from final
    {%- endif %}
{%- endmacro %}


{# The order in which events arrived; of one message's elements, by their index. #}
{% macro arrival(stream) -%}
    {{ return('batch_id, source_partition, position' ~ (', length(event_id), event_id' if millrace.stream_meta(stream).unnest is defined or millrace.stream_meta(stream).envelope == 'cloudevents' else '')) }}
{%- endmacro %}


{# The columns that are a stream's business id, quoted, as a list of SQL; empty where it declares none. #}
{% macro id_list(stream) -%}
    {%- set columns = [] -%}
    {%- set meta = millrace.stream_meta(stream) -%}
    {%- for id in meta.identity or meta.business_id or [] -%}
        {%- do columns.append(adapter.quote(id)) -%}
    {%- endfor -%}
    {{ return(columns | join(', ')) }}
{%- endmacro %}


{# The predicate for events that have no business id: a part of it is null or an empty text. #}
{% macro lacks_id(stream) -%}
    {%- set meta = millrace.stream_meta(stream) -%}
    {%- set parts = [] -%}
    {%- for id in meta.identity or meta.business_id or [] -%}
        {%- do parts.append(adapter.quote(id) ~ ' is null') -%}
        {%- if meta.fields[id].type == 'varchar' -%}
            {%- do parts.append(adapter.quote(id) ~ " = ''") -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts | join(' or ') or 'true') }}
{%- endmacro %}
