{#
  dbt's own `ref`, and in a schema of one's own: what has not been built there is read from production. So a modeller
  builds, shows and documents one model without building all that it reads. dbt's `--defer` would need a manifest
  of production and flags on every command; here production is the same project with other schemas.
#}
{% macro ref() -%}
    {%- set relation = builtins.ref(*varargs, **kwargs) -%}
    {%- if not execute or target.name == 'prod' or relation.is_cte -%}
        {{ return(relation) }}
    {%- endif -%}
    {{ return(millrace.own_or_production(relation)) }}
{%- endmacro %}


{# A relation of the modeller's own schema, or production's where the own one neither exists nor is about to. #}
{% macro own_or_production(relation) -%}
    {%- set node = millrace.node_of(relation) -%}
    {%- set about_to_be_built = flags.WHICH in ('build', 'run', 'seed', 'snapshot', 'retry') and node.unique_id in selected_resources -%}
    {%- if not node or about_to_be_built or adapter.get_relation(relation.database, relation.schema, relation.identifier) -%}
        {{ return(relation) }}
    {%- endif -%}
    {%- set production = millrace.production_of(relation, node) -%}
    {%- set said = graph.setdefault('millrace_said', []) -%}
    {%- if production and relation.identifier not in said -%}
        {%- do said.append(relation.identifier) -%}
        {%- do log(relation.schema ~ '.' ~ relation.identifier ~ ' is not built: reading ' ~ production.schema ~ '.' ~ relation.identifier ~ ' of production', info=True) -%}
    {%- endif -%}
    {{ return(production or relation) }}
{%- endmacro %}


{# Where production has what a node makes; none where it has not been built there. #}
{% macro production_of(relation, node) -%}
    {{ return(adapter.get_relation(relation.database, node.config.schema or 'main', relation.identifier)) }}
{%- endmacro %}


{#
  A unit test's rows in place of a parent. dbt asks the parent's table for its columns, and goes on only with one of the
  modeller's own schema; production's has them too. Here dbt does not say which schema that is, but names are unique.
#}
{% macro get_fixture_sql(rows, column_name_to_data_types) -%}
    {%- set known = column_name_to_data_types or load_relation(this) -%}
    {%- set production = none if known else millrace.somewhere_else(this) -%}
    {%- if not production -%}
        {{ return(dbt.get_fixture_sql(rows, column_name_to_data_types)) }}
    {%- endif -%}
    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(production) -%}
        {%- do types.update({column.name | lower: column.data_type}) -%}
    {%- endfor -%}
    {{ validate_fixture_rows(rows, row_number) }}
    {%- for row in rows or [{}] %}
        {%- set values = format_row(row, types) %}
        select
        {%- for name, type in types.items() %}
            {{ values.get(name, 'cast(null as ' ~ type ~ ')') }} as {{ adapter.quote(name) }}{{ ',' if not loop.last }}
        {%- endfor %}
        {{ 'limit 0' if not rows }}
        {{ 'union all' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{# The relation of this name in a schema that is nobody's own; none where there is none. #}
{% macro somewhere_else(relation) -%}
    {%- set query -%}
        select schema_name
        from (
            select schema_id, table_name as name from ducklake.ducklake_table where end_snapshot is null
            union all
            select schema_id, view_name from ducklake.ducklake_view where end_snapshot is null
        ) as relations
        inner join ducklake.ducklake_schema using (schema_id)
        where name = ''{{ relation.identifier }}'' and schema_name not like ''dev\_%'' and schema_name <> ''raw''
    {%- endset -%}
    {%- set schemas = run_query(millrace.from_catalog(relation.database, query)).columns[0].values() -%}
    {{ return(adapter.get_relation(relation.database, schemas[0], relation.identifier) if schemas else none) }}
{%- endmacro %}


{# The model, seed or snapshot that makes a relation. #}
{% macro node_of(relation) -%}
    {%- for node in graph.get('nodes', {}).values() if node.resource_type in ('model', 'seed', 'snapshot') -%}
        {%- if node.schema == relation.schema and node.alias == relation.identifier -%}
            {{ return(node) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}
