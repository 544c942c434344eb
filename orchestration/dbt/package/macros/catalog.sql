{#
  What DuckLake's catalog in PostgreSQL says of tables in one question, without DuckDB, which would ask it for each file with all
  its statistics. Of what this transaction has written the catalog knows nothing.
#}
{% macro ask_catalog(columns) -%}
    {%- set query -%}
        with tables as (
            select table_id, lower(schema_name || ''.'' || table_name) as name
            from ducklake.ducklake_table
            inner join ducklake.ducklake_schema using (schema_id)
            where ducklake_table.end_snapshot is null and ducklake_schema.end_snapshot is null
        )
        select
            {%- for name, expression in columns.items() %}
            ({{ expression }}) as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
    {%- endset -%}
    {{ return(run_query(millrace.from_catalog(target.database, query)).rows[0]) }}
{%- endmacro %}


{#
  The highest whole number in a column of a table, for `ask_catalog`. A file's statistics say the highest that it was written with. Of
  a file with deletes it may be gone: it counts only where a whole file has one as high. Null where the catalog cannot tell:
  a view, a column of another type, rows that are kept in the catalog itself.
#}
{% macro highest_in_files(relation, column) -%}
    select case
        when count(column_id) = 0 then null
        when count(data_file_id) = 0 then 0
        when count(highest) = count(data_file_id) and max(highest) filter (where not is_cut) = max(highest) then max(highest)
    end
    from (
        select
            asked.column_id,
            file.data_file_id,
            case when max_value ~ ''^-?[0-9]+$'' then max_value::bigint end as highest,
            exists (
                select 1 from ducklake.ducklake_delete_file as cut
                where cut.table_id = file.table_id and cut.data_file_id = file.data_file_id and cut.end_snapshot is null
            ) as is_cut
        from tables
        inner join ducklake.ducklake_column as asked on asked.table_id = tables.table_id
        left join ducklake.ducklake_data_file as file on file.table_id = tables.table_id and file.end_snapshot is null
        left join ducklake.ducklake_file_column_stats as written
            on written.data_file_id = file.data_file_id and written.column_id = asked.column_id
        where name = ''{{ relation.schema | lower }}.{{ relation.identifier | lower }}''
            and lower(column_name) = ''{{ column | lower }}'' and asked.end_snapshot is null and parent_column is null
            and tables.table_id not in (select table_id from ducklake.ducklake_inlined_data_tables)
    ) as files
{%- endmacro %}


{# The state of raw._editions in this lake, for `ask_catalog`: another text after each change; null where the catalog cannot tell. #}
{% macro state_of_editions() -%}
    select ''table '' || table_id || '', '' || md5(concat(
        (select value from ducklake.ducklake_metadata where key = ''data_path''),
        '';'',
        (select string_agg(data_file_id::text, '','' order by data_file_id) from ducklake.ducklake_data_file as file
        where file.table_id = tables.table_id and end_snapshot is null),
        '';'',
        (select string_agg(delete_file_id::text, '','' order by delete_file_id) from ducklake.ducklake_delete_file as cut
        where cut.table_id = tables.table_id and end_snapshot is null)
    ))
    from tables
    where name = ''raw._editions'' and table_id not in (select table_id from ducklake.ducklake_inlined_data_tables)
{%- endmacro %}


{# The highest whole number in a column, or none where the catalog cannot tell. #}
{% macro highest_in_catalog(relation, column) -%}
    {%- if relation is string -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set highest = millrace.ask_catalog({'highest': millrace.highest_in_files(relation, column)})[0] -%}
    {{ return(none if highest is none else highest | int) }}
{%- endmacro %}


{# The snapshot that this transaction reads tables of. #}
{% macro own_snapshot() -%}
    {{ return(run_query('select id from ' ~ adapter.quote(target.database) ~ '.current_snapshot()').columns[0].values()[0] | int) }}
{%- endmacro %}
