{#
  The newest state of each row of a table whose changes a stream brings: one row per business id, by `source_position`. A row that was
  deleted, or whose table was truncated, stays with `is_deleted`, so that a change that comes late cannot bring it back.
#}
{% macro latest(stream) -%}
    {%- set meta = millrace.stream_meta(stream) -%}
    {%- if meta.envelope != 'debezium' or not meta.business_id -%}
        {%- do exceptions.raise_compiler_error(
            "staging('" ~ stream ~ "', latest=true) is for streams of changes: declare 'envelope: debezium' and the row's key as "
            ~ "'business_id' in streams.yml"
        ) -%}
    {%- endif -%}
    {%- set after = millrace.watermark(this) -%}
    {%- set keys = [] -%}
    {%- set lacking = [] -%}
    {%- for name in meta.business_id -%}
        {%- do keys.append(adapter.quote(name)) -%}
        {%- do lacking.append(adapter.quote(name) ~ ' is null') -%}
    {%- endfor -%}
    {%- set key = keys | join(', ') %}
/* latest: {{ key }} :latest */
with changes as (
    {{ millrace.typed_events(stream, after, until=millrace.up_to_now(source('raw', stream), after)) }}
),

newest as (
    select *, op = 'd' as is_deleted
    from changes
    where op in ('c', 'r', 'u', 'd') and not ({{ lacking | join(' or ') }})
    qualify row_number() over (
        partition by {{ key }}
        order by source_position desc, batch_id desc, source_partition desc, position desc
    ) = 1
),

{%- if is_incremental() %}

known as (
    select * from {{ this }}
),

changed as (
    select newest.*
    from newest
    left join known using ({{ key }})
    where known.source_position is null or newest.source_position > known.source_position
),
{%- else %}

changed as (
    select * from newest
),
{%- endif %}

truncated as (
    select source_table, max(source_position) as truncated_at, max(batch_id) as truncated_in
    from changes
    where op = 't'
    group by source_table
),

candidates as (
    select * from changed
    {%- if is_incremental() %}
    union all by name
    select known.* from known
    semi join truncated on known.source_table is not distinct from truncated.source_table
    anti join changed using ({{ key }})
    {%- endif %}
),

final as (
    select
        candidates.* replace (
            greatest(candidates.batch_id, case when truncated_at > source_position then truncated_in end) as batch_id,
            case when truncated_at > source_position then truncated_at else source_position end as source_position,
            case when truncated_at > source_position then 't' else op end as op,
            is_deleted or coalesce(truncated_at > source_position, false) as is_deleted
        )
    from candidates
    left join truncated on candidates.source_table is not distinct from truncated.source_table
)

select * from final
{%- endmacro %}


{# Whether a model holds the newest state of rows. #}
{% macro is_latest(node) -%}
    {{ return('/* latest: ' in (node.get('compiled_code') or '')) }}
{%- endmacro %}


{# The statement that deletes the former states of the rows that come; empty for any other model. #}
{% macro delete_former(target, fresh) -%}
    {%- if millrace.is_latest(model) -%}
        {%- set keys = model['compiled_code'].split('/* latest: ')[1].split(' :latest */')[0].split(', ') %}
    delete from {{ target }} as former
    where exists (
        select 1 from {{ fresh }} as fresh
        where {% for key in keys %}fresh.{{ key }} = former.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
    );
    {%- endif -%}
{%- endmacro %}
