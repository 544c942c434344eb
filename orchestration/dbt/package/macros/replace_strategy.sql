{#
  Incremental strategy `replace`: within one transaction, the rows that the model says it replaces go and its rows come.

  A model says so with `{{ replaces(predicate) }}` (literals, so that files are skipped), with `unique_key` (then only
  rows whose key is among the new ones go; null equals null), or with both. Several predicates are several deletes.
#}
{% macro replaces(predicate) -%}
    /* replaces: {{ predicate }} :replaces */
{%- endmacro %}


{% macro get_incremental_replace_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set source = arg_dict['temp_relation'] -%}
    {%- set key = arg_dict['unique_key'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set predicates = [] -%}
    {%- for part in model['compiled_code'].split('/* replaces: ')[1:] -%}
        {%- do predicates.append(part.split(' :replaces */')[0]) -%}
    {%- endfor -%}
    {%- if not key and not predicates -%}
        {%- do exceptions.raise_compiler_error(
            "Model '" ~ model['name'] ~ "' uses the strategy 'replace' but says not what it replaces; "
            ~ "give it a unique_key or call replaces(predicate) in its SQL"
        ) -%}
    {%- endif -%}
    {%- set keys = [key] if key is string else (key or []) -%}

    {{ millrace.refuse_stale(target) }}

    {%- for predicate in (predicates or ['true']) %}
    delete from {{ target }} as replaced
    where ({{ predicate }})
    {%- if keys %}
        and exists (
            select 1 from {{ source }} as fresh
            where {% for column in keys -%}
                fresh.{{ column }} is not distinct from replaced.{{ column }}{{ ' and ' if not loop.last }}
            {%- endfor %}
        )
    {%- endif %};
    {%- endfor %}

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ source }}
{%- endmacro %}
