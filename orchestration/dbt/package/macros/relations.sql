{#
  Which schemas and relations there are, asked of DuckLake's own catalog in a query each. The adapter asks DuckDB's
  information schema, which loads every table's statistics first, and compares a quoted database name with a bare one, so
  that each run would make every schema again. dbt asks at the beginning of a run, when nothing is uncommitted.
#}
{% macro duckdb__list_schemas(database) -%}
    {{ return(run_query(millrace.from_catalog(database | replace('"', ''), 'select schema_name from ducklake.ducklake_schema where end_snapshot is null'))) }}
{%- endmacro %}


{% macro duckdb__list_relations_without_caching(schema_relation) -%}
    {%- set query -%}
        select ''{{ schema_relation.database }}'' as database, name, schema_name as schema, type
        from (
            select schema_id, table_name as name, ''table'' as type from ducklake.ducklake_table where end_snapshot is null
            union all
            select schema_id, view_name as name, ''view'' as type from ducklake.ducklake_view where end_snapshot is null
        ) as relations
        inner join ducklake.ducklake_schema using (schema_id)
        where ducklake_schema.end_snapshot is null and lower(schema_name) = ''{{ schema_relation.schema | lower }}''
    {%- endset -%}
    {% call statement('list_relations_without_caching', fetch_result=True) -%}
        {{ millrace.from_catalog(schema_relation.database, query) }}
    {%- endcall %}
    {{ return(load_result('list_relations_without_caching').table) }}
{%- endmacro %}


{% macro from_catalog(database, query) -%}
    select * from postgres_query('__ducklake_metadata_{{ database }}', '{{ query }}')
{%- endmacro %}
