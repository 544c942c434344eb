{#
  How ops_sequence_runs follows staging: what is new of each stream since its mark, and which of the runs that are there it touches.
  A row of kind `mark` says up to which batch a stream was read, and by which declaration: after another one it is read again whole.
#}
{% macro sequence_readings(sequences) -%}
    {%- set marks = {} -%}
    {%- if is_incremental() -%}
        {%- for row in run_query("select stream, batch_id, declared from " ~ this ~ " where kind = 'mark'").rows -%}
            {%- do marks.update({row[0]: {'batch_id': row[1] | int, 'declared': row[2]}}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set readings = [] -%}
    {%- for stream, spec in sequences.items() -%}
        {%- set staged = ref(project_name, 'stg_' ~ stream) -%}
        {#- A stream that has brought nothing yet has no table. -#}
        {%- if adapter.get_relation(staged.database, staged.schema, staged.identifier) -%}
            {%- do readings.append(millrace.sequence_reading(stream, spec, staged, marks.get(stream) or {})) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(readings) }}
{%- endmacro %}


{#
  What is to be read of a stream: batches after `after` up to `newest`. `mark` is where its rows are now. `reopened` are stretches of time
  of runs into which new events fall: their events are read again.
#}
{% macro sequence_reading(stream, spec, staged, mark) -%}
    {%- set declared = local_md5(tojson([spec, millrace.sequence_version(), millrace.generation_of(staged)], sort_keys=true)) -%}
    {%- set reading = {'stream': stream, 'spec': spec, 'staged': staged, 'declared': declared, 'mark': mark.get('batch_id', 0)} -%}
    {%- do reading.update({'newest': millrace.watermark_of(staged), 'after': 0, 'is_whole': true, 'reopened': [], 'first_day': none}) -%}
    {%- if mark.get('declared') == declared and not millrace.has_replaced(stream, staged, reading.mark) -%}
        {%- do reading.update({'after': reading.mark, 'is_whole': false}) -%}
        {%- if reading.newest > reading.after -%}
            {%- do millrace.look_for_touched(reading) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(reading) }}
{%- endmacro %}


{# Goes up when other runs are made of the same events: then all are made again. #}
{% macro sequence_version() -%}
    {{ return(1) }}
{%- endmacro %}


{# How often a staging table was made from all of raw. #}
{% macro generation_of(staged) -%}
    {{ return((millrace.editions().recorded.get(staged.schema ~ '.' ~ staged.identifier) or {}).get('generation', 0)) }}
{%- endmacro %}


{# Whether staging has lost rows to newer deliveries (`on_conflict: last`) since a batch. #}
{% macro has_replaced(stream, staged, after) -%}
    {%- if millrace.stream_meta(stream).on_conflict != 'last' or not millrace.editions().is_kept -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set query -%}
        select count(*) from {{ millrace.kept_conflicts() }}
        where table_name = '{{ staged.schema }}.{{ staged.identifier }}' and batch_id > {{ after }}
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0] > 0) }}
{%- endmacro %}


{% macro new_events(reading) -%}
    {{ return(millrace.sequence_events(reading.staged, reading.spec, 'batch_id > ' ~ reading.after ~ ' and batch_id <= ' ~ reading.newest)) }}
{%- endmacro %}


{# The runs into which new events fall, ends excepted: of these the order of events decides. #}
{% macro reopened_runs(reading, fresh) -%}
    select distinct runs.sender, runs.event_on, runs.first_at, runs.first_index, runs.last_at, runs.last_index
    from {{ this }} as runs
    inner join {{ fresh }} as fresh
        on runs.sender = fresh.sender
            and runs.event_on = timezone('UTC', fresh.event_at)::date
            and (fresh.event_at, fresh.index) >= (runs.first_at, runs.first_index)
            and (fresh.event_at, fresh.index) < (runs.last_at, runs.last_index)
    where runs.stream = '{{ reading.stream }}' and kind = 'run'
        {%- if reading.first_day %}
        and runs.event_on >= date '{{ reading.first_day }}'
        {%- endif %}
{%- endmacro %}


{# Look at the new events once, while the model is compiled, to know which rows they touch: literals let DuckLake skip files. #}
{% macro look_for_touched(reading) -%}
    {%- set first = run_query("select min(timezone('UTC', event_at)::date)::varchar from (" ~ millrace.new_events(reading) ~ ') as fresh').columns[0].values()[0] -%}
    {%- if first -%}
        {%- do reading.update({'first_day': first}) -%}
        {%- set spans -%}
            (
                with reopened as ({{ millrace.reopened_runs(reading, '(' ~ millrace.new_events(reading) ~ ')') }})
                select unnest([first_at, last_at] || generate_series(first_at, last_at, interval '1 hour')) as span_at from reopened
            )
        {%- endset -%}
        {%- do reading.update({'reopened': millrace.time_ranges(spans, 'span_at', margin_minutes=31)}) -%}
    {%- endif -%}
{%- endmacro %}


{# The rows of one stream that the model makes now: the runs and fills of the touched days. #}
{% macro sequence_rows(reading) -%}
    {%- set name = reading.stream -%}
    {%- set rows = 'stream, sender, event_on, kind, first_index, last_index, steps, events, first_at, last_at, first_batch_id, first_ingested_at, batch_id, ingested_at, declared' -%}
    select {{ rows }}
    from (
        with fresh as (
            {{ millrace.new_events(reading) }}
        ),
        {%- if not reading.is_whole %}

        touched_runs as ({{ millrace.reopened_runs(reading, 'fresh') }}),

        reopened as (
            select events.*
            from (
                {{ millrace.sequence_events(
                    '(' ~ millrace.within(reading.staged, 'event_at', reading.reopened) ~ ')', reading.spec, 'batch_id <= ' ~ reading.after
                ) }}
            ) as events
            inner join touched_runs
                on events.sender = touched_runs.sender
                    and (events.event_at, events.index) >= (touched_runs.first_at, touched_runs.first_index)
                    and (events.event_at, events.index) <= (touched_runs.last_at, touched_runs.last_index)
        ),

        there as (
            select * from {{ this }}
            where stream = '{{ name }}' and event_on >= date '{{ reading.first_day }}'
                and sender in (select sender from fresh)
        ),

        kept as (
            select * from there
            anti join touched_runs using (sender, event_on, first_at, first_index, last_at, last_index)
            where kind = 'run'
        ),
        {%- endif %}

        made as (
            {% if reading.is_whole -%}
            {{ millrace.sequence_runs(reading.spec, 'fresh') }}
            {%- else -%}
            {{ millrace.sequence_runs(reading.spec, 'fresh', 'reopened', 'kept') }}
            {%- endif %}
        )

        select '{{ name }}' as stream, *, null::varchar as declared from made
        {%- if not reading.is_whole %}
        union all by name
        select {{ rows }} from there
        semi join (select sender, timezone('UTC', event_at)::date as event_on from fresh) as touched using (sender, event_on)
        where kind = 'fill'
        {%- endif %}
    ) as rows_of_stream
{%- endmacro %}


{# How far the model has read a stream then. #}
{% macro sequence_mark(reading) -%}
    select
        '{{ reading.stream }}' as stream, '' as sender, date '1970-01-01' as event_on, 'mark' as kind,
        {{ reading.newest }}::bigint as batch_id, '{{ reading.declared }}' as declared
{%- endmacro %}


{# Incremental strategy `sequences`: the rows of touched days are replaced, of streams that are read again whole all rows. #}
{% macro get_incremental_sequences_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set fresh = arg_dict['temp_relation'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- for note in model['compiled_code'].split('/* read: ')[1:] -%}
        {%- set read = fromjson(note.split(' :read */')[0]) %}
    select
        case
            when coalesce(max(batch_id), 0) <> {{ read.mark }}
                then error('Another run wrote {{ target.schema }}.{{ target.identifier }} meanwhile; run dbt again')
        end as is_stale
    from {{ target }}
    where stream = '{{ read.stream }}' and kind = 'mark';
        {%- if read.is_whole %}
    delete from {{ target }} where stream = '{{ read.stream }}';
        {%- endif -%}
    {%- endfor %}
    delete from {{ target }} as former
    where exists (
        select 1 from {{ fresh }} as fresh
        where fresh.stream = former.stream and fresh.sender = former.sender and fresh.event_on = former.event_on
            and (fresh.kind = 'mark') = (former.kind = 'mark')
    );

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ fresh }}
{%- endmacro %}


{% macro accepted_gaps() -%}
    {{ return(adapter.quote(target.database) ~ '.raw._accepted_gaps') }}
{%- endmacro %}
