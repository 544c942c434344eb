{#
  Views, left alone while their SQL is the same. dbt's own materialisation makes each view again on every run, which is
  several catalog commits per view and micro-batch for nothing.
#}
{% macro materialize_view() -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if existing is not none and existing.is_view and not should_full_refresh() and millrace.view_is_current(target_relation, sql) -%}
        {%- do store_raw_result(name='main', message='UNCHANGED', code='UNCHANGED', rows_affected='0') -%}
    {%- else -%}
        {%- if existing is not none and not existing.is_view -%}
            {%- do adapter.drop_relation(existing) -%}
        {%- endif -%}
        {% call statement('main') -%}
            {%- if config.get('contract').enforced -%}
                {{ get_assert_columns_equivalent(sql) }}
            {%- endif -%}
            create or replace view {{ target_relation }} as (
                {{ sql }}
            )
        {%- endcall %}
    {%- endif -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}
{%- endmacro %}


{# DuckDB keeps views in a normal form, so equal views have equal text, whatever their layout. #}
{% macro view_is_current(relation, sql) -%}
    {%- do run_query('create or replace temp view ' ~ relation.include(database=false, schema=false) ~ ' as (' ~ sql ~ ')') -%}
    {%- set query -%}
        select count(*) = 2 and count(distinct replace(sql, 'CREATE TEMP VIEW', 'CREATE VIEW')) = 1 as is_current
        from duckdb_views()
        where view_name = '{{ relation.identifier }}'
            and (database_name = 'temp' or (database_name = '{{ relation.database }}' and schema_name = '{{ relation.schema }}'))
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{%- endmacro %}
