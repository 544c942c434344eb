{#
  dbt's own `is_incremental`, but not for `dbt show`: it shows the whole model, not the rows that its table still lacks.
#}
{% macro is_incremental() -%}
    {{ return(flags.WHICH != 'show' and dbt.is_incremental()) }}
{%- endmacro %}


{#
  The highest batch that an incremental model holds; 0 on a full refresh. Batches count up within a stream, in commit order,
  so `where batch_id > watermark` finds what is new whatever any clock says. The note behind the number is read by
  `refuse_stale`.
#}
{% macro watermark(relation, column='batch_id') -%}
    {%- if not execute or not is_incremental() -%}
        {{ return('0') }}
    {%- endif -%}
    {{ return(millrace.watermark_of(relation, column) ~ ' /* watermark of ' ~ column ~ ' */') }}
{%- endmacro %}


{# The highest batch that any relation holds. DuckLake answers from its catalog, without reading files. #}
{% macro watermark_of(relation, column='batch_id') -%}
    {%- if not execute -%}
        {{ return(0) }}
    {%- endif -%}
    {%- set query = 'select coalesce(max(' ~ column ~ '), 0) as highest from ' ~ relation -%}
    {{ return(run_query(query).columns[0].values()[0] | int) }}
{%- endmacro %}


{#
  For a model that looks at its new rows while it is compiled, to know which old ones they touch: the predicate that
  keeps out what comes after that look. Else its rows would come half, and the watermark would move past the other half.
#}
{% macro up_to_now(rows, after) -%}
    {%- if not execute or not is_incremental() -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set query = 'select coalesce(max(batch_id), 0) as newest from ' ~ rows ~ ' where batch_id > ' ~ after -%}
    {{ return('batch_id <= ' ~ run_query(query).columns[0].values()[0] | int) }}
{%- endmacro %}
