{#
  Deliveries that share a business id and not their payload. Each of which the rule had to decide is a conflict and a row of
  raw._conflicts, written in the transaction that stages the events; `on_conflict: fail` stops the model there instead. It is
  one, in whatever batches the deliveries come, if its payload is not

  - that of the id's first delivery (`first`, `fail`);
  - that of the id's delivery before it (`last`);
  - that of any delivery of the id before it (`keep_all`).
#}
{% macro deliveries_note(stream, after, until, ranges, count) -%}
    /* deliveries: {{ tojson({'stream': stream, 'after': after | string, 'until': until, 'ranges': ranges, 'count': count}) | replace('*/', '') | replace('/*', '') }} :deliveries */
{%- endmacro %}


{# The statements for new batches, before their rows are written: conflicts, and with `on_conflict: last` what they replace. #}
{% macro settle_conflicts(target, fresh) -%}
    {%- set note = model['compiled_code'].split('/* deliveries: ') -%}
    {%- if note | length > 1 and millrace.editions().is_kept -%}
        {%- set read = fromjson(note[1].split(' :deliveries */')[0]) -%}
        {%- set after = read.after.split(' ')[0] -%}
        {%- set events = none -%}
        {%- if millrace.may_conflict(read.stream, read.count, fresh) -%}
            {%- set events = millrace.typed_events(read.stream, after, until=read.until) -%}
        {%- endif -%}
        {{ millrace.settle(read.stream, events, target, fresh, read.ranges, millrace.table_name(model), after) }}
    {%- endif -%}
{%- endmacro %}


{# Whether so many deliveries (none where nobody has counted them), of which staging keeps the `fresh` ones, may hold a conflict. #}
{% macro may_conflict(stream, count, fresh) -%}
    {%- if not millrace.id_list(stream) -%}
        {{ return(false) }}
    {%- elif count is none or millrace.stream_meta(stream).on_conflict in ('last', 'keep_all') -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(run_query('select count(*) as events from ' ~ fresh).columns[0].values()[0] < count) }}
{%- endmacro %}


{#
  The same of any deliveries: `events` is SQL of them, none where no conflict can be among them, `table` the name under which conflicts are
  noted. A batch that brings staging no row does not move its watermark, and is read again: what is noted after `after` is not noted twice.
#}
{% macro settle(stream, events, target, fresh, ranges, table, after=none) -%}
    {%- set ids = millrace.id_list(stream) -%}
    {%- if ids -%}
        {%- if events -%}
            {%- set known = millrace.within(target, 'event_at', ranges, columns=ids ~ ', event_id, batch_id, payload_hash') -%}
            {{ millrace.count_conflicts(stream, events, known, table, after) }}
        {%- endif -%}
        {%- if millrace.stream_meta(stream).on_conflict == 'last' -%}
            {%- for range in ranges %}
            delete from {{ target }} as replaced
            where event_at >= {{ range[0] }} and event_at < {{ range[1] }}
                and not ({{ millrace.lacks_id(stream) }})
                and exists (
                    select 1 from {{ fresh }} as fresh
                    where {% for id in ids.split(', ') -%}
                        fresh.{{ id }} = replaced.{{ id }}{{ ' and ' if not loop.last }}
                    {%- endfor %}
                );
            {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{# The statements for a table that is made from all of raw. #}
{% macro count_all_conflicts() -%}
    {%- set stream = millrace.stream_of(model) -%}
    {%- if stream and millrace.stream_meta(stream).business_id and not millrace.is_latest(model) -%}
        delete from {{ millrace.kept_conflicts() }} where table_name = '{{ millrace.table_name(model) }}';
        {{ millrace.count_conflicts(stream, millrace.typed_events(stream), none, millrace.table_name(model)) }}
    {%- endif -%}
{%- endmacro %}


{% macro kept_conflicts() -%}
    {{ return(adapter.quote(target.database) ~ '.raw._conflicts') }}
{%- endmacro %}


{#
  The statement that records conflicts. `events` are typed events, `known` rows that are staged: both as SQL; `after` is the
  batch after which some may be recorded already, none where that cannot be.
#}
{% macro count_conflicts(stream, events, known, table, after=none) -%}
    {%- set ids = millrace.id_list(stream) -%}
    {%- set rule = millrace.stream_meta(stream).on_conflict or 'first' -%}
    {%- set found -%}
        with events as (
            select {{ ids }}, batch_id, source_partition, position, event_id, payload_hash from ({{ events }}) as typed
        ),

        staged as (
            {%- if known %}
            select {{ ids }}, batch_id, event_id, payload_hash from ({{ known }}) as known
            {%- else %}
            select {{ ids }}, batch_id, event_id, payload_hash from events where false
            {%- endif %}
        ),

        {#-
          The few ids with several payloads. An aggregate asks for the id: DuckDB would push a plain condition down to raw, below
          the typing, and type the values once more for each part of it.
        -#}
        disputed as (
            select {{ ids }}
            from (select {{ ids }}, payload_hash from events union all select {{ ids }}, payload_hash from staged) as payloads
            group by {{ ids }}
            having min(payload_hash) <> max(payload_hash) and not bool_or({{ millrace.lacks_id(stream) }})
        ),

        deliveries as (
            select
                *,
                {%- if rule == 'last' %}
                lag(payload_hash) over arrived as hash_before,
                {%- elif rule == 'keep_all' %}
                row_number() over (partition by {{ ids }}, payload_hash order by {{ millrace.arrival(stream) }}) as delivery,
                {%- endif %}
                first_value(payload_hash) over arrived as first_hash,
                first_value(event_id) over arrived as first_event_id
            from events
            semi join disputed using ({{ ids }})
            window arrived as (partition by {{ ids }} order by {{ millrace.arrival(stream) }})
        ),

        known as (
            select
                {{ ids }}, min_by(event_id, {{ millrace.arrival_of_id() }}) as known_event_id,
                {{ 'max_by(payload_hash, batch_id) as known_hash' if rule == 'last' else 'list(payload_hash) as hashes' }}
            from staged
            semi join disputed using ({{ ids }})
            group by {{ ids }}
        )

        select
            batch_id, event_id, coalesce(known_event_id, first_event_id) as first_event_id,
            concat_ws(' ', {{ ids }}) as business_id
        from deliveries
        left join known using ({{ ids }})
        where
            {%- if rule == 'last' %}
            payload_hash <> coalesce(hash_before, known_hash)
            {%- else %}
            {{- ' delivery = 1 and' if rule == 'keep_all' }}
            case
                when known_event_id is null then payload_hash <> first_hash
                else not list_contains(hashes, payload_hash)
            end
            {%- endif %}
    {%- endset -%}
    {%- if rule == 'fail' %}
    select
        error(
            'Stream {{ stream }}: ' || event_id || ' has the business id of ' || first_event_id || ' (' || business_id || ') and another payload, and streams.yml says '
            || 'on_conflict: fail; correct the sender or the business_id, or declare first, last or keep_all'
        ) as conflict
    from ({{ found }}) as conflicts;
    {%- else %}
    insert into {{ millrace.kept_conflicts() }} (table_name, batch_id, event_id, first_event_id, business_id, found_at)
    select '{{ table }}', batch_id, event_id, first_event_id, business_id, now()
    from ({{ found }}) as conflicts
    {%- if after is not none %}
    anti join (
        select event_id from {{ millrace.kept_conflicts() }} where table_name = '{{ table }}' and batch_id > {{ after }}
    ) as noted using (event_id)
    {%- endif %};
    {%- endif %}
{%- endmacro %}
