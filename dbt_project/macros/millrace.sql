{#
  Forwarders to the dbt package `millrace`, one line each; there is nothing to edit. dbt looks for the first ones in a project's
  own macros only. The last ones are for models: `staging('orders')` is short for `millrace.staging('orders')`.
#}
{% macro ref() %}{{ return(millrace.ref(*varargs, **kwargs)) }}{% endmacro %}
{% macro get_fixture_sql() %}{{ return(millrace.get_fixture_sql(*varargs, **kwargs)) }}{% endmacro %}
{% macro is_incremental() %}{{ return(millrace.is_incremental()) }}{% endmacro %}
{% macro should_full_refresh() %}{{ return(millrace.should_full_refresh()) }}{% endmacro %}
{% macro generate_schema_name(custom_schema_name, node) %}{{ return(millrace.generate_schema_name(custom_schema_name, node)) }}{% endmacro %}
{% macro duckdb__list_schemas(database) %}{{ return(millrace.duckdb__list_schemas(database)) }}{% endmacro %}
{% macro duckdb__list_relations_without_caching(schema_relation) %}{{ return(millrace.duckdb__list_relations_without_caching(schema_relation)) }}{% endmacro %}
{% macro get_incremental_append_batches_sql(arg_dict) %}{{ return(millrace.get_incremental_append_batches_sql(arg_dict)) }}{% endmacro %}
{% macro get_incremental_replace_sql(arg_dict) %}{{ return(millrace.get_incremental_replace_sql(arg_dict)) }}{% endmacro %}
{% materialization view, adapter='duckdb' %}{{ return(millrace.materialize_view()) }}{% endmaterialization %}
{% test unique_together(model) %}{{ millrace.test_unique_together(model, **kwargs) }}{% endtest %}
{% test staged_once(model) %}{{ millrace.test_staged_once(model, **kwargs) }}{% endtest %}

{% macro staging() %}{{ return(millrace.staging(*varargs, **kwargs)) }}{% endmacro %}
{% macro typed_events() %}{{ return(millrace.typed_events(*varargs, **kwargs)) }}{% endmacro %}
{% macro watermark() %}{{ return(millrace.watermark(*varargs, **kwargs)) }}{% endmacro %}
{% macro watermark_of() %}{{ return(millrace.watermark_of(*varargs, **kwargs)) }}{% endmacro %}
{% macro up_to_now() %}{{ return(millrace.up_to_now(*varargs, **kwargs)) }}{% endmacro %}
{% macro time_ranges() %}{{ return(millrace.time_ranges(*varargs, **kwargs)) }}{% endmacro %}
{% macro within() %}{{ return(millrace.within(*varargs, **kwargs)) }}{% endmacro %}
{% macro replaces() %}{{ return(millrace.replaces(*varargs, **kwargs)) }}{% endmacro %}
{% macro alert_runs() %}{{ return(millrace.alert_runs(*varargs, **kwargs)) }}{% endmacro %}
{% macro alerts() %}{{ return(millrace.alerts(*varargs, **kwargs)) }}{% endmacro %}
