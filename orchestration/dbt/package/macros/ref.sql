{# dbt's own `ref`. Every project forwards to it, so that a release can change what `ref` means without an edit of projects. #}
{% macro ref() -%}
    {{ return(builtins.ref(*varargs, **kwargs)) }}
{%- endmacro %}
