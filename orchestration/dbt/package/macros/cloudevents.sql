{#
  `envelope: cloudevents`: the declared fields are those of an event's data, its attributes are columns. All three ways in
  which an event travels are read: structured (one JSON object), batched (an array of them: each element is an event, its `event_id`
  ends with #1, #2, …) and binary (attributes in headers `ce_…` or `ce-…`, or in the user properties of MQTT 5; the payload is the data).
#}
{% macro unwrapped_cloudevents(relation, where) -%}
    {%- set names = ['id', 'source', 'type', 'subject', 'time', 'dataschema', 'specversion'] -%}
    {%- set prefixed = [] -%}
    {%- set attributes = [] -%}
    {%- for prefix in ('ce_', 'ce-') -%}
        {%- for name in names -%}
            {%- do prefixed.append(millrace.json_path(prefix ~ name)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name in names + ['datacontenttype', 'data_base64'] -%}
        {%- do attributes.append(millrace.json_path(name)) -%}
    {%- endfor -%}
    {%- set media = "coalesce(json_extract_string(headers, '$.\"content-type\"'), json_extract_string(headers, '$.content_type'), '')" %}
    (
        select
            batch_id,
            source_partition,
            position,
            case when _is_batch then event_id || '#' || _number else event_id end as event_id,
            event_key,
            headers,
            event_time,
            ingested_at,
            {%- for name in names if name != 'specversion' %}
            case when _is_binary then _in_headers[{{ loop.index }}] else _parts[{{ loop.index }}] end as _envelope_ce_{{ name }},
            {%- endfor %}
            case when _is_binary then nullif({{ media }}, '') else _parts[{{ names | length + 1 }}] end as _envelope_ce_datacontenttype,
            _data as payload,
            concat_ws(
                chr(31),
                case when _is_binary then list_slice(_in_headers, 1, 6)::varchar else list_slice(_parts, 1, 6)::varchar end,
                _data
            ) as _contents
        from (
            select
                *,
                case
                    when _is_binary then coalesce(_event, '{}')
                    when _parts[7] is null then '{}'
                    when _parts[9] is not null then {{ millrace.text_of_bytes('_parts[9]') }}
                    else coalesce(nullif({{ millrace.payload_texts('_event', ['$."data"'], 'json_extract') }}[1], 'null'), '{}')
                end as _data
            from (
                select
                    *,
                    case when not _is_binary then {{ millrace.payload_texts('_event', attributes) }} end as _parts
                from (
                    select
                        *,
                        unnest(_events) as _event,
                        unnest(range(1, length(_events) + 1)) as _number
                    from (
                        select
                            *,
                            case when _is_batch then {{ millrace.elements('payload') }} else [payload] end as _events
                        from (
                            select
                                *,
                                _in_headers[7] is not null and not starts_with({{ media }}, 'application/cloudevents') as _is_binary,
                                (_in_headers[7] is null or starts_with({{ media }}, 'application/cloudevents'))
                                    and coalesce(try(json_type(payload) = 'ARRAY' and json_array_length(payload) > 0), false) as _is_batch
                            from (
                                select
                                    *,
                                    {{ millrace.attributes_in_headers(names, prefixed) }} as _in_headers
                                from {{ relation }}
                                where {{ where }}
                            ) as attributed
                        ) as sorted_out
                        where payload is not null or _is_binary
                    ) as listed
                ) as events
            ) as parted
        ) as complete
    )
{%- endmacro %}


{# The attributes that a message carries beside its payload; one that is there more than once is null. #}
{% macro attributes_in_headers(names, prefixed) -%}
    case when headers is not null then
        list_transform(
            range(1, {{ names | length + 1 }}),
            lambda nth: coalesce(
                case when json_type(headers, {{ millrace.path_list(prefixed) }})[nth] = 'VARCHAR'
                    then json_extract_string(headers, {{ millrace.path_list(prefixed) }})[nth] end,
                case when json_type(headers, {{ millrace.path_list(prefixed) }})[nth + {{ names | length }}] = 'VARCHAR'
                    then url_decode(json_extract_string(headers, {{ millrace.path_list(prefixed) }})[nth + {{ names | length }}]) end,
                list_filter(
                    [list_filter(
                        coalesce(try(from_json(json_extract(headers, '$.user_properties'), '[["VARCHAR"]]')), []),
                        lambda pair: pair[1] = {{ millrace.path_list(names) }}[nth]
                    )],
                    lambda found: length(found) = 1
                )[1][1][2]
            )
        )
    end
{%- endmacro %}


{# The elements of a JSON array, each as JSON text with its numbers as they were sent. #}
{% macro elements(payload) -%}
    case
        when {{ millrace.prints_otherwise(payload) }} then
            list_transform(
                try(json_extract_string({{ millrace.marked_numbers(payload) }}, '$[*]')),
                lambda text: {{ millrace.unmarked('text', payload) }}
            )
        else try(json_extract_string({{ payload }}, '$[*]'))
    end
{%- endmacro %}


{# What base64 stands for as JSON: JSON itself, else a text; null where it is neither. #}
{% macro text_of_bytes(base64) -%}
    list_transform(
        [try(decode(from_base64({{ base64 }})))],
        lambda text: case when json_valid(text) then text else to_json(text)::varchar end
    )[1]
{%- endmacro %}
