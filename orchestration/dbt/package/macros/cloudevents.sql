{#
  `envelope: cloudevents`: the declared fields are those of an event's data, its attributes are columns, and so are the `extensions`
  (names) that fields declare. An attribute that is there more than once has no value and is in `_repeated`. All three ways in
  which an event travels are read: structured (one JSON object), batched (an array of them: each element is an event, its `event_id`
  ends with #1, #2, …) and binary (attributes in headers `ce_…` or `ce-…`, of AMQP in application properties `cloudEvents:…` or `cloudEvents_…`,
  or in the user properties of MQTT 5; the payload is the data).
#}
{% macro unwrapped_cloudevents(relation, where, extensions=[]) -%}
    {%- set own = ['id', 'source', 'type', 'subject', 'time', 'dataschema', 'specversion'] -%}
    {%- set names = own + extensions -%}
    {%- set prefixed = [] -%}
    {%- set attributes = [] -%}
    {%- for before in ([['ce_'], ['ce-'], ['headers', 'cloudEvents:'], ['headers', 'cloudEvents_'], ['headers', 'ce-']]) -%}
        {%- for name in names -%}
            {%- do prefixed.append(millrace.json_path(before[:-1] + [before[-1] ~ name])) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name in names + ['datacontenttype', 'data_base64'] -%}
        {%- do attributes.append(millrace.json_path([name])) -%}
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
            {%- for name in own if name != 'specversion' %}
            _attributes[{{ loop.index }}] as _envelope_ce_{{ name }},
            {%- endfor %}
            {%- for name in extensions %}
            _attributes[{{ own | length + loop.index }}] as _extension_{{ name }},
            {%- endfor %}
            case when _is_binary then nullif({{ media }}, '') else _parts[{{ names | length + 1 }}] end as _envelope_ce_datacontenttype,
            _repeated,
            _data as payload,
            concat_ws(
                chr(31),
                list_slice(_attributes, 1, 6)::varchar,
                {{ 'list_slice(_attributes, 8, ' ~ names | length ~ ')::varchar,' if extensions }}
                _data
            ) as _contents
        from (
            select
                *,
                case when _is_binary then _in_headers else _parts end as _attributes,
                case
                    when _is_binary then coalesce(_event, '{}')
                    when list_contains(_repeated, 'data') then null
                    when _parts[7] is null then '{}'
                    {%- set base64 = '_parts[' ~ (names | length + 2) ~ ']' %}
                    when {{ base64 }} is not null then {{ millrace.text_of_bytes(base64) }}
                    else coalesce(nullif({{ millrace.payload_texts('_event', ['$."data"'], 'json_extract') }}[1], 'null'), '{}')
                end as _data
            from (
                select
                    *,
                    case when not _is_binary then {{ millrace.payload_texts('_event', attributes) }} end as _parts,
                    case
                        when _is_binary then _repeated_in_headers
                        else {{ millrace.repeated_keys('_event', names + ['data', 'data_base64']) }}
                    end as _repeated
                from (
                    select
                        *,
                        unnest(_events) as _event,
                        unnest(range(1, length(_events) + 1)) as _number
                    from (
                        select
                            *,
                            case when _is_batch then {{ millrace.elements_of('payload', []) }} else [payload] end as _events
                        from (
                            select
                                *,
                                _in_headers[7] is not null and not starts_with({{ media }}, 'application/cloudevents') as _is_binary,
                                (_in_headers[7] is null or starts_with({{ media }}, 'application/cloudevents'))
                                    and coalesce(try(json_type(payload) = 'ARRAY' and json_array_length(payload) > 0), false) as _is_batch
                            from (
                                select
                                    *,
                                    list_transform(_found, lambda found: case when length(found) = 1 then found[1] end) as _in_headers,
                                    list_filter({{ millrace.path_list(names) }}, lambda name, nth: length(_found[nth]) > 1) as _repeated_in_headers
                                from (
                                    select
                                        *,
                                        case when headers is not null then {{ millrace.attributes_in_headers(names, prefixed) }} end as _found
                                    from {{ relation }}
                                    where {{ where }}
                                ) as looked_through
                            ) as attributed
                        ) as sorted_out
                        where payload is not null or _is_binary
                    ) as listed
                ) as events
            ) as parted
        ) as complete
    )
{%- endmacro %}


{# The attributes that a message carries beside its payload: of each name, the texts that are there. #}
{% macro attributes_in_headers(names, prefixed) -%}
    list_transform(
        list_zip(
            {{ millrace.path_list(names) }},
            {%- for nth in range(prefixed | length // names | length) %}
            {%- set paths = millrace.path_list(prefixed[nth * names | length:(nth + 1) * names | length]) %}
            json_type(headers, {{ paths }}),
            json_extract_string(headers, {{ paths }}),
            {%- endfor %}
            list_resize([{{ millrace.user_properties() }}], {{ names | length }}, {{ millrace.user_properties() }})
        ),
        lambda found: list_concat(
            {{ millrace.header_texts('found[2]', 'found[3]') }},
            list_transform({{ millrace.header_texts('found[4]', 'found[5]') }}, lambda text: url_decode(text)),
            {%- for nth in range(2, prefixed | length // names | length) %}
            {{ millrace.header_texts('found[' ~ (2 * nth + 2) ~ ']', 'found[' ~ (2 * nth + 3) ~ ']') }},
            {%- endfor %}
            list_transform(list_filter(found[{{ 2 * (prefixed | length // names | length) + 2 }}], lambda pair: pair[1] = found[1]), lambda pair: pair[2])
        )
    )
{%- endmacro %}


{# The texts of a header, by its JSON type in raw: a list there is a name that came more than once. AMQP has numbers, too. #}
{% macro header_texts(type, text) -%}
    case coalesce({{ type }}, 'NULL')
        when 'NULL' then []::varchar []
        when 'ARRAY' then [null, null]::varchar []
        when 'OBJECT' then [null, null]::varchar []
        else [{{ text }}]
    end
{%- endmacro %}


{# The names of an object's keys that stand in it more than once, of these names. #}
{% macro repeated_keys(object, names) -%}
    list_transform(
        [try(json_keys({{ object }}))],
        lambda keys: case
            when length(list_distinct(keys)) < length(keys)
                then list_filter({{ millrace.path_list(names) }}, lambda name: length(list_filter(keys, lambda key: key = name)) > 1)
        end
    )[1]
{%- endmacro %}


{# What base64 stands for as JSON: JSON itself, else a text; null where it is neither. #}
{% macro text_of_bytes(base64) -%}
    list_transform(
        [try(decode(from_base64({{ base64 }})))],
        lambda text: case when json_valid(text) then text else to_json(text)::varchar end
    )[1]
{%- endmacro %}
