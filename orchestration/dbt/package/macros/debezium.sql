{#
  `envelope: debezium`: each event is a change of a row of a database. The declared fields are those of the row: as it is after
  the change, of a deleted row as it was before or, where the database does not say that, its key. Both JSON forms are read,
  with `schema` and `payload` and without; a schema says what a number or a base64 text means, and is believed.

  What every change has besides is a column `_envelope_<name>` here (ingestion/declare/envelopes.py lists them).
#}
{% macro unwrapped_debezium(relation, where) -%}
    {%- set parts = [
        'op', 'before', 'after', 'source.lsn', 'source.file', 'source.pos', 'source.row', 'source.commit_lsn',
        'source.change_lsn', 'source.event_serial_no', 'source.scn', 'source.rs_id', 'source.ssn', 'source.ord',
        'source.db', 'source.schema', 'source.table', 'source.collection', 'source.ts_us', 'source.ts_ms', 'ts_us', 'ts_ms',
    ] -%}
    {%- set paths = [] -%}
    {%- set at = {} -%}
    {%- for part in parts -%}
        {%- do paths.append(millrace.json_path(part.split('.'))) -%}
        {%- do at.update({part: '_parts[' ~ loop.index ~ ']'}) -%}
    {%- endfor -%}
    (
        select
            batch_id,
            source_partition,
            position,
            event_id,
            event_key,
            headers,
            event_time,
            ingested_at,
            case when {{ at['op'] }} in ('c', 'r', 'u', 'd') then _row_key end as _row_key,
            _schema,
            concat_ws(chr(31), {{ at['op'] }}, coalesce({{ at['before'] }}, ''), coalesce({{ at['after'] }}, '')) as _contents,
            coalesce(
                case
                    when {{ at['op'] }} in ('c', 'r', 'u') then {{ at['after'] }}
                    when {{ at['op'] }} = 'd' then coalesce({{ at['before'] }}, _row_key)
                end,
                '{}'
            ) as payload,
            case when {{ at['op'] }} in ('c', 'r', 'u', 'd', 't', 'm') then {{ at['op'] }} end as _envelope_op,
            {{ at['before'] }} as _envelope_before,
            {{ at['after'] }} as _envelope_after,
            case
                when {{ at['source.lsn'] }} is not null then lpad({{ at['source.lsn'] }}, 20, '0')
                when {{ at['source.file'] }} is not null
                    then concat_ws(
                        '/',
                        lpad(regexp_extract({{ at['source.file'] }}, '(\d+)$', 1), 12, '0'),
                        lpad(coalesce({{ at['source.pos'] }}, '0'), 20, '0'),
                        lpad(coalesce({{ at['source.row'] }}, '0'), 10, '0')
                    )
                when coalesce({{ at['source.commit_lsn'] }}, {{ at['source.change_lsn'] }}) is not null
                    then concat_ws(
                        '/',
                        coalesce({{ at['source.commit_lsn'] }}, ''),
                        coalesce({{ at['source.change_lsn'] }}, ''),
                        lpad(coalesce({{ at['source.event_serial_no'] }}, '0'), 10, '0')
                    )
                when {{ at['source.scn'] }} is not null
                    then concat_ws(
                        '/',
                        lpad({{ at['source.scn'] }}, 20, '0'),
                        trim(coalesce({{ at['source.rs_id'] }}, '')),
                        lpad(coalesce({{ at['source.ssn'] }}, '0'), 10, '0')
                    )
                when {{ at['source.ord'] }} is not null
                    then lpad(coalesce({{ at['source.ts_ms'] }}, '0'), 20, '0') || '/' || lpad({{ at['source.ord'] }}, 10, '0')
                when {{ at['op'] }} is not null then lpad(position::varchar, 20, '0')
            end as _envelope_source_position,
            nullif(
                concat_ws(
                    '.',
                    nullif(coalesce({{ at['source.schema'] }}, {{ at['source.db'] }}), ''),
                    nullif(coalesce({{ at['source.table'] }}, {{ at['source.collection'] }}), '')
                ),
                ''
            ) as _envelope_source_table,
            coalesce({{ at['source.ts_us'] }}, {{ at['source.ts_ms'] }} || '000') as _envelope_source_at,
            coalesce({{ at['ts_us'] }}, {{ at['ts_ms'] }} || '000') as _envelope_captured_at
        from (
            select *, {{ millrace.payload_texts('_change', paths) }} as _parts
            from (
                select
                    *,
                    {{ millrace.unwrapped_text('payload') }} as _change,
                    {{ millrace.unwrapped_text('event_key') }} as _row_key,
                    {{ millrace.connect_schema('payload') }} as _schema
                from {{ relation }}
                where {{ where }}
            ) as changes
        ) as parted
    )
{%- endmacro %}


{# A JSON text without the schema that Kafka Connect's converter puts round it. #}
{% macro unwrapped_text(column) -%}
    case
        when try(json_exists({{ column }}, '$.schema') and json_exists({{ column }}, '$.payload'))
            then {{ millrace.payload_texts(column, ['$."payload"']) }}[1]
        else {{ column }}
    end
{%- endmacro %}


{# The columns of a changed row as its schema names them, each with its meaning; null without a schema. #}
{% macro connect_schema(column) -%}
    list_filter(
        try(from_json(
            json_extract({{ column }}, '$.schema.fields'),
            '[{"field": "VARCHAR", "fields": [{"field": "VARCHAR", "name": "VARCHAR", "parameters": {"scale": "VARCHAR"} }]}]'
        )),
        lambda part: part.field = 'after'
    )[1].fields
{%- endmacro %}


{#
  A text as it is once the schema's meaning of it is known: a decimal's digits for its base64 bytes, a day or an instant for a number
  since 1970. A decimal that brings its own scale needs no schema.
#}
{% macro connect_text(text, spec, steps) -%}
    {%- set is_column = steps | length == 1 and steps[0] is string -%}
    {%- set zone = '' if spec.zone else 'Z' -%}
    list_transform(
        [{% if is_column %}list_filter(_schema, lambda part: part.field = {{ millrace.literal(steps[0]) }})[1]{% else %}null::struct(field varchar, name varchar, parameters struct(scale varchar)){% endif %}],
        lambda meant: case
            {%- if spec.type in ('timestamp', 'date') %}
            when meant.name in ('io.debezium.time.Date', 'org.apache.kafka.connect.data.Date')
                then try((date '1970-01-01' + {{ text }}::integer)::varchar)
            when meant.name in ('io.debezium.time.Timestamp', 'org.apache.kafka.connect.data.Timestamp')
                then {{ millrace.instant_text(text ~ '::bigint * 1000', zone) }}
            when meant.name = 'io.debezium.time.MicroTimestamp'
                then {{ millrace.instant_text(text ~ '::bigint', zone) }}
            when meant.name = 'io.debezium.time.NanoTimestamp'
                then {{ millrace.instant_text('floor(' ~ text ~ '::decimal(38, 3) / 1000)::bigint', zone) }}
            when meant.name = 'io.debezium.time.IsoDate' then rtrim({{ text }}, 'Z')
            {%- else %}
            when meant.name = 'org.apache.kafka.connect.data.Decimal'
                then {{ millrace.unscaled_text(text, 'coalesce(meant.parameters.scale, \'0\')::integer') }}
            when json_valid({{ text }}) and json_type({{ text }}) = 'OBJECT'
                then {{ millrace.unscaled_text(text ~ "->>'$.value'", "try_cast(" ~ text ~ "->>'$.scale' as integer)") }}
            {%- endif %}
            else {{ text }}
        end
    )[1]
{%- endmacro %}


{% macro instant_text(micros, zone) -%}
    try(strftime(make_timestamp({{ micros }}), '%Y-%m-%dT%H:%M:%S.%f{{ zone }}'))
{%- endmacro %}


{#
  The decimal digits of an unscaled number, base64 of its bytes (two's complement, the highest first); null beyond 16 bytes.
#}
{% macro unscaled_text(base64, scale) -%}
    list_transform(
        list_transform(
            list_filter([try(from_base64({{ base64 }}))], lambda bytes: octet_length(bytes) between 1 and 16),
            lambda bytes: try(
                unhex(lpad(hex(bytes), 32, case when get_bit(bytes::bit, 0) = 1 then 'F' else '0' end))::bit::hugeint
            )
        ),
        lambda number: case
            when {{ scale }} <= 0 then number::varchar || repeat('0', -({{ scale }}))
            else
                case when number < 0 then '-' else '' end
                || regexp_replace(
                    lpad(abs(number)::varchar, greatest(length(abs(number)::varchar), ({{ scale }}) + 1)::integer, '0'),
                    '(\d{' || ({{ scale }}) || '})$', '.\1'
                )
        end
    )[1]
{%- endmacro %}
