{#
  A staging table of another declaration is built again (editions.sql). Up to `rebuild_rows` events (a million) that is one statement. A
  longer one is built beside the old, `rebuild_rows` events at a time, each step a transaction of its own, and then takes its place
  in one more; readers see the old rows until then. What was killed goes on after its last step: the table beside bears the
  edition in its name, and one of another edition is dropped.
#}
{% macro rebuild_beside(stream) -%}
    {%- set step_rows = var('rebuild_rows', 1000000) | int -%}
    {%- if not millrace.is_rebuilt_beside(stream, step_rows) -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set edition = millrace.wanted_edition(model) -%}
    {%- set beside = api.Relation.create(
        database=this.database, schema=this.schema, identifier=this.identifier ~ '__rebuild_' ~ edition[:10], type='table'
    ) -%}
    {%- do millrace.keep_only(beside) -%}
    {%- do run_query(
        'create table if not exists ' ~ beside ~ ' as ' ~ millrace.staged_rows(stream, millrace.typed_events(stream, until='false'), none, [])
    ) -%}
    {%- set all_rows = run_query('select count(*) from ' ~ source('raw', stream) ~ ' where payload is not null').columns[0].values()[0] -%}
    {%- set begun = millrace.watermark_of(beside) -%}
    {%- set done = namespace(after=begun, rows=all_rows) -%}
    {%- set steps = run_query(millrace.rebuild_steps(stream, begun, step_rows)).rows -%}
    {%- for step in steps -%}
        {%- set done.rows = done.rows - (step[1] | int) -%}
    {%- endfor -%}
    {%- for step in steps -%}
        {%- do log(
            millrace.table_name(model) ~ ' is built beside the old: ' ~ '{:,}'.format(done.rows | int) ~ ' of ' ~ '{:,}'.format(all_rows | int) ~ ' events', info=True
        ) -%}
        {%- do millrace.rebuild_step(stream, beside, done.after, step[0] | int) -%}
        {%- set done.after = step[0] | int -%}
        {%- set done.rows = done.rows + (step[1] | int) -%}
    {%- endfor -%}
    {%- do millrace.take_the_place(stream, beside, edition) -%}
    {%- do log(millrace.table_name(model) ~ ' has been built again: ' ~ '{:,}'.format(all_rows | int) ~ ' events', info=True) -%}
    {{ return(true) }}
{%- endmacro %}


{# Whether the table of this model is outdated, is the stream's staging and nothing else, and has many events. #}
{% macro is_rebuilt_beside(stream, step_rows) -%}
    {%- if flags.WHICH not in ('build', 'run', 'retry') or model.resource_type != 'model' or dbt.should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set is_plain = modules.re.fullmatch('\\{\\{-?(millrace\\.)?staging\\([\'"]\\w+[\'"]\\)-?\\}\\}', model.raw_code | replace(' ', '') | trim) -%}
    {%- if not is_plain or not adapter.get_relation(this.database, this.schema, this.identifier) or not should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(run_query('select count(*) from ' ~ source('raw', stream)).columns[0].values()[0] > step_rows) }}
{%- endmacro %}


{# Drop the tables that a rebuild to another edition left beside. #}
{% macro keep_only(beside) -%}
    {%- set prefix = this.identifier ~ '__rebuild_' -%}
    {%- set query -%}
        select table_name
        from ducklake.ducklake_table
        inner join ducklake.ducklake_schema using (schema_id)
        where ducklake_table.end_snapshot is null and ducklake_schema.end_snapshot is null and schema_name = ''{{ this.schema }}''
            and left(table_name, {{ prefix | length }}) = ''{{ prefix }}'' and table_name <> ''{{ beside.identifier }}''
    {%- endset -%}
    {%- for row in run_query(millrace.from_catalog(this.database, query)).rows -%}
        {%- do run_query('drop table ' ~ api.Relation.create(database=this.database, schema=this.schema, identifier=row[0])) -%}
        {%- do run_query("delete from " ~ millrace.kept_conflicts() ~ " where table_name = '" ~ this.schema ~ '.' ~ row[0] ~ "'") -%}
    {%- endfor -%}
{%- endmacro %}


{# The steps that are left: the last batch of each, and its events. A batch is never parted. #}
{% macro rebuild_steps(stream, after, step_rows) -%}
    with batches as (
        select batch_id, count(*) as events
        from {{ source('raw', stream) }}
        where payload is not null and batch_id > {{ after }}
        group by batch_id
    ),
    numbered as (
        select batch_id, events, (sum(events) over (order by batch_id) - events) // {{ step_rows }} as step from batches
    )
    select max(batch_id) as until, sum(events) as events from numbered group by step order by step
{%- endmacro %}


{# One step: what staging makes of the batches up to `until`, as an incremental run would. #}
{% macro rebuild_step(stream, beside, after, until) -%}
    {%- set typed = 'temp.main."' ~ beside.identifier ~ '_typed"' -%}
    {%- set fresh = 'temp.main."' ~ beside.identifier ~ '_fresh"' -%}
    {%- set name = this.schema ~ '.' ~ beside.identifier -%}
    {%- set newest = millrace.watermark_of(beside) -%}
    {%- do run_query('create or replace temp table ' ~ typed ~ ' as ' ~ millrace.typed_events(stream, after, until='batch_id <= ' ~ until)) -%}
    {%- set ranges = millrace.delivery_ranges(stream, typed) if millrace.id_list(stream) else [] -%}
    {%- do run_query('create or replace temp table ' ~ fresh ~ ' as ' ~ millrace.staged_rows(stream, 'select * from ' ~ typed, beside, ranges)) -%}
    {%- set count = run_query('select count(*) as events from ' ~ typed).columns[0].values()[0] -%}
    {%- set may_conflict = millrace.may_conflict(stream, count, fresh) -%}
    {% call statement('rebuild_step') -%}
        {{ millrace.turn() }}
        {{ millrace.refuse_moved(beside, newest) }}
        delete from {{ millrace.kept_conflicts() }} where table_name = '{{ name }}' and batch_id > {{ after }};
        {{ millrace.settle(stream, 'select * from ' ~ typed if may_conflict else none, beside, fresh, ranges, name) }}
        insert into {{ beside }} by name select * from {{ fresh }};
    {%- endcall %}
    {%- do adapter.commit() -%}
    {%- do run_query('drop table ' ~ typed) -%}
    {%- do run_query('drop table ' ~ fresh) -%}
{%- endmacro %}


{# The table beside becomes the model's, with its edition and its conflicts, in one transaction. #}
{% macro take_the_place(stream, beside, edition) -%}
    {%- set known = millrace.editions() -%}
    {%- set before = known.recorded.get(millrace.table_name(model)) or {} -%}
    {%- set newest = millrace.watermark_of(beside) -%}
    {% call statement('rebuild_swap') -%}
        {{ millrace.turn() }}
        {{ millrace.refuse_moved(beside, newest) }}
        {{ millrace.refuse_rebuilt(before.get('generation', 0)) }}
        drop table {{ this }};
        alter table {{ beside }} rename to {{ adapter.quote(this.identifier) }};
        delete from {{ millrace.kept_conflicts() }} where table_name = '{{ millrace.table_name(model) }}';
        update {{ millrace.kept_conflicts() }} set table_name = '{{ millrace.table_name(model) }}' where table_name = '{{ this.schema }}.{{ beside.identifier }}';
        {{ millrace.note_edition(edition) }}
    {%- endcall %}
    {%- do adapter.commit() -%}
    {%- do known.decided.update({model.unique_id: false}) -%}
{%- endmacro %}


{% macro refuse_moved(relation, newest) -%}
    select
        case
            when coalesce(max(batch_id), 0) <> {{ newest }}
                then error('Another run builds {{ this.schema }}.{{ this.identifier }} meanwhile; run dbt again')
        end as is_moved
    from {{ relation }};
{%- endmacro %}


{% macro refuse_rebuilt(generation) -%}
    select
        case
            when coalesce(max(generation), 0) <> {{ generation }}
                then error('Another run wrote {{ this.schema }}.{{ this.identifier }} meanwhile; run dbt again')
        end as is_stale
    from {{ millrace.kept_editions() }}
    where table_name = '{{ millrace.table_name(model) }}';
{%- endmacro %}
