{#
  The highest batch that an incremental model holds; 0 on a full refresh. Batches count up within a stream, in commit order,
  so `where batch_id > watermark` finds what is new whatever any clock says. The note behind the number is read by
  `refuse_stale`.
#}
{% macro watermark(relation, column='batch_id') -%}
    {%- if not execute or not is_incremental() -%}
        {{ return('0') }}
    {%- endif -%}
    {{ return(watermark_of(relation, column) ~ ' /* watermark of ' ~ column ~ ' */') }}
{%- endmacro %}


{# The highest batch that any relation holds. DuckLake answers from its catalog, without reading files. #}
{% macro watermark_of(relation, column='batch_id') -%}
    {%- if not execute -%}
        {{ return(0) }}
    {%- endif -%}
    {%- set query = 'select coalesce(max(' ~ column ~ '), 0) as highest from ' ~ relation -%}
    {{ return(run_query(query).columns[0].values()[0] | int) }}
{%- endmacro %}
