{# No two rows agree in all of these columns. #}
{% test unique_together(model, columns) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    group by all
    having count(*) > 1
{% endtest %}


{#
  Every event that raw holds is staged exactly once, where it has a business id (with `on_conflict: keep_all`, each of its payloads);
  every other event is staged as it is.
#}
{% test staged_once(model, stream) %}
    {%- if execute %}
    {%- set ids = millrace.id_list(stream) -%}
    {%- set identity -%}
        row(
            {%- if ids -%}
                {{ ids }}, case when {{ millrace.lacks_id(stream) }} then event_id end
                {{- ', payload_hash' if millrace.stream_meta(stream).on_conflict == 'keep_all' }}
            {%- else -%}
                event_id
            {%- endif -%}
        )
    {%- endset %}
    with expected as (
        select
            {{ identity }} as identity,
            1 as expected_rows
        from ({{ millrace.typed_events(stream) }}) as events
        where batch_id <= (select coalesce(max(batch_id), 0) from {{ model }})
        group by all
    ),

    found as (
        select
            {{ identity }} as identity,
            count(*) as found_rows
        from {{ model }}
        group by all
    )

    select *
    from expected
    full join found on expected.identity is not distinct from found.identity
    where expected_rows is distinct from found_rows
    {%- else %}
    select 1 from {{ model }} cross join {{ source('raw', stream) }}
    {%- endif %}
{% endtest %}
