{#
  What the numbers of a stream's senders show: SQL over events and over runs, without a lake. Terms (docs/sequences.md):

  - *index*: how many steps a number is after the lowest one; a counter that wraps begins again at index 0.
  - *time order*: a sender's events by `event_at`, then by index. It does not depend on the order of arrival.
  - *run*: events of one sender and day that follow each other in time order, each with the number of the one before or the next.
    All else is made from runs, which are few: a sender that loses nothing has one a day.
  - *fill*: events of one batch whose successors in time order came in an earlier one: their numbers were missing until then.

  `spec` is a stream's declared sequence (ingestion/declare/sequence.py); `size` is how many numbers a counter has that wraps, else 0.
#}
{# The numbered events of staging: sender, index and time. A row for each event, although staging may have several of it. #}
{% macro sequence_events(relation, spec, where='true') -%}
    {%- set size = spec.size -%}
    {%- set index = '((number - ' ~ spec.base ~ ') // ' ~ spec.step ~ ')' -%}
    select
        sender,
        {{ '((' ~ index ~ ' % ' ~ size ~ ') + ' ~ size ~ ') % ' ~ size if size else index }} as index,
        event_at,
        batch_id,
        ingested_at
    from (
        select distinct
            {%- if spec.per | length == 1 %}
            "{{ spec.per[0] }}"::varchar as sender,
            {%- else %}
            to_json([{% for name in spec.per %}"{{ name }}"::varchar{{ ', ' if not loop.last }}{% endfor %}])::varchar as sender,
            {%- endif %}
            "{{ spec.field }}"::bigint as number,
            event_at, batch_id, ingested_at, source_partition, position
        from {{ relation }}
        where {{ where }}
            and "{{ spec.field }}" between -1152921504606846976 and 1152921504606846976
            {%- for name in spec.per %}
            and "{{ name }}" is not null
            {%- endfor %}
    ) as numbered
{%- endmacro %}


{# How many steps lie between two indexes; of a counter that wraps the shorter way round. #}
{% macro sequence_distance(former, index, size) -%}
    {%- if size is string -%}
        case when {{ size }} = 0 then {{ index }} - {{ former }} else (({{ index }} - {{ former }} + {{ size }} // 2) % {{ size }} + {{ size }}) % {{ size }} - {{ size }} // 2 end
    {%- elif size -%}
        (({{ index }} - {{ former }} + {{ size // 2 }}) % {{ size }} + {{ size }}) % {{ size }} - {{ size // 2 }}
    {%- else -%}
        {{ index }} - {{ former }}
    {%- endif -%}
{%- endmacro %}


{#
  Runs and fills of events. `fresh` are new events, `reopened` those of the runs into which new ones fall, `kept` the other runs of
  the same senders from the first touched day on; the last two are none where everything is new. All are names of relations.
#}
{% macro sequence_runs(spec, fresh, reopened=none, kept=none) -%}
    {%- set size = spec.size -%}
with items as (
    select
        sender, timezone('UTC', event_at)::date as event_on, event_at as first_at, index as first_index,
        event_at as last_at, index as last_index, 0::bigint as steps, 1::bigint as events,
        {'batch_id': batch_id, 'ingested_at': ingested_at} as first_batch, true as is_new
    from {{ fresh }}
    {%- if kept %}
    union all
    select
        sender, timezone('UTC', event_at)::date, event_at, index, event_at, index, 0, 1,
        {'batch_id': batch_id, 'ingested_at': ingested_at}, false
    from {{ reopened }}
    union all
    select
        sender, event_on, first_at, first_index, last_at, last_index, steps, events,
        {'batch_id': first_batch_id, 'ingested_at': first_ingested_at}, false
    from {{ kept }}
    {%- endif %}
),

placed as (
    select *, row_number() over (partition by sender order by first_at, first_index, last_at, last_index, first_batch) as place
    from items
),

neighbours as (
    select
        *,
        lag(last_index) over (partition by sender, event_on order by place) as former_index,
        min(first_batch) over (partition by sender order by place rows between 1 following and unbounded following) as later_batch
    from placed
),

measured as (
    select *, {{ millrace.sequence_distance('former_index', 'first_index', size) }} as distance from neighbours
),

numbered as (
    select
        *,
        count(*) filter (where distance is null or distance not in (0, 1)) over (
            partition by sender, event_on order by place rows unbounded preceding
        ) as run
    from measured
),

runs as (
    select
        'run' as kind, sender, event_on,
        arg_min(first_index, place) as first_index, arg_max(last_index, place) as last_index,
        (sum(steps) + coalesce(sum(distance) filter (where distance in (0, 1)), 0))::bigint as steps,
        sum(events)::bigint as events,
        arg_min(first_at, place) as first_at, arg_max(last_at, place) as last_at,
        min(first_batch) as first_batch,
        null::bigint as batch_id, null::timestamptz as ingested_at
    from numbered
    {%- if kept %}
    semi join (select sender, timezone('UTC', event_at)::date as event_on from {{ fresh }}) as touched using (sender, event_on)
    {%- endif %}
    group by sender, event_on, run
),

late as (
    select
        sender, event_on, first_index as index, first_at as event_at, first_batch, later_batch,
        first_index - dense_rank() over (
            partition by sender, event_on, first_batch.batch_id, later_batch.batch_id order by first_index
        ) as stretch
    from numbered
    where is_new and distance is distinct from 0 and later_batch.batch_id < first_batch.batch_id
),

fills as (
    select
        'fill' as kind, sender, event_on, min(index) as first_index, max(index) as last_index,
        (max(index) - min(index))::bigint as steps, count(*) as events,
        min(event_at) as first_at, max(event_at) as last_at, min(later_batch) as first_batch,
        first_batch.batch_id as batch_id, min(first_batch.ingested_at) as ingested_at
    from late
    group by sender, event_on, first_batch.batch_id, later_batch.batch_id, stretch
)

select * exclude (first_batch), first_batch.batch_id as first_batch_id, first_batch.ingested_at as first_ingested_at
from (select * from runs union all select * from fills) as found
{%- endmacro %}
