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


{# The highest batch that any relation holds: of most tables the catalog knows it (catalog.sql). #}
{% macro watermark_of(relation, column='batch_id') -%}
    {%- if not execute -%}
        {{ return(0) }}
    {%- endif -%}
    {%- set known = millrace.highest_in_catalog(relation, column) -%}
    {%- if known is not none -%}
        {{ return(known) }}
    {%- endif -%}
    {%- set query = 'select coalesce(max(' ~ column ~ '), 0) as highest from ' ~ relation -%}
    {{ return(run_query(query).columns[0].values()[0] | int) }}
{%- endmacro %}


{#
  For a model that looks at its new rows while it is compiled, to know which old ones they touch: the predicate that
  keeps out what comes after that look. Else its rows would come half, and the watermark would move past the other half.
  Models of one command that ask for the same share the look: each is built after what it reads.
#}
{% macro up_to_now(rows, after) -%}
    {%- if not execute or not is_incremental() -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set looks = graph.setdefault('millrace_looks', {}) -%}
    {%- if looks.get('invocation') != invocation_id -%}
        {%- do looks.clear() -%}
        {%- do looks.update({'invocation': invocation_id}) -%}
    {%- endif -%}
    {%- set look = rows ~ ' after ' ~ after -%}
    {%- if look not in looks -%}
        {%- set newest = millrace.highest_in_catalog(rows, 'batch_id') -%}
        {%- if newest is none -%}
            {%- set query = 'select coalesce(max(batch_id), 0) as newest from ' ~ rows ~ ' where batch_id > ' ~ after -%}
            {%- set newest = run_query(query).columns[0].values()[0] | int -%}
        {%- endif -%}
        {%- do looks.update({look: newest}) -%}
    {%- endif -%}
    {{ return('batch_id <= ' ~ looks[look]) }}
{%- endmacro %}
