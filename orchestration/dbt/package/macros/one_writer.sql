{#
  Two runs may build one model at once: the system's and a person's. DuckLake lets both append, and every row would be there
  twice. So a model's transaction first takes its turn in the catalog (a lock that ends with the transaction), and then
  refuses to write if the model has moved since its SQL was compiled.
#}
{% macro take_turn() -%}
    {%- if execute and model.config.materialized == 'incremental' and model.resource_type == 'model' -%}
        {{ millrace.turn() }}
        {{ millrace.record_edition() }}
    {%- endif -%}
{%- endmacro %}


{# The lock itself; it ends with the transaction. #}
{% macro turn() -%}
    select *
    from postgres_query(
        '__ducklake_metadata_{{ this.database }}',
        'select count(pg_advisory_xact_lock(hashtext(''millrace {{ this.schema }}.{{ this.identifier }}'')))'
    );
{%- endmacro %}


{#
  The catalog is asked first. This transaction sees it as it was when it asked for its turn, perhaps before another's commit; the
  tables as they were later, when it first read one. Only where both are of one snapshot does the catalog's word hold, and
  where it says that nothing has moved the tables are not asked.
#}
{% macro refuse_stale(target) -%}
    {%- set note = modules.re.search('(\\d+) /\\* watermark of (\\w+) \\*/', model['compiled_code']) -%}
    {%- set known = millrace.editions() -%}
    {%- set edition = known.recorded.get(millrace.table_name(model)) -%}
    {%- set asked = {
        'snapshot': 'select max(snapshot_id) from ducklake.ducklake_snapshot',
        'editions': millrace.state_of_editions(),
        'highest': millrace.highest_in_files(target, note.group(2)) if note else 'null::bigint'
    } -%}
    {%- set word = millrace.ask_catalog(asked) -%}
    {%- set holds = word[0] | int == millrace.own_snapshot() -%}
    {%- set moved = [] -%}
    {%- if note and not (holds and word[2] is not none and word[2] | int == note.group(1) | int) -%}
        {%- do moved.append('(select coalesce(max(' ~ note.group(2) ~ '), 0) from ' ~ target ~ ') <> ' ~ note.group(1)) -%}
    {%- endif -%}
    {%- if edition and not (holds and word[1] is not none and word[1] == known.state) -%}
        {%- do moved.append(
            '(select max(generation) from ' ~ millrace.kept_editions() ~ " where table_name = '" ~ millrace.table_name(model) ~ "') <> " ~ edition.generation
        ) -%}
    {%- endif -%}
    {%- if moved %}
    select
        case
            when {{ moved | join(' or ') }}
                then error('Another run wrote {{ target.schema }}.{{ target.identifier }} meanwhile; run dbt again')
        end as is_stale;
    {%- endif -%}
{%- endmacro %}


{# Incremental strategy `append_batches`: the rows of new batches come; what is there stays, but for what they replace. #}
{% macro get_incremental_append_batches_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {{ millrace.refuse_stale(target) }}
    {{ millrace.settle_conflicts(target, arg_dict['temp_relation']) }}
    {{ millrace.delete_former(target, arg_dict['temp_relation']) }}

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
