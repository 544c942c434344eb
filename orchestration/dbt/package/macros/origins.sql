{#
  Fields that are not in the payload. Each is a column `_text_<name>` with its text as it was sent, made from a row of raw, and,
  where it may be unclear which text was meant, a column `_unclear_<name>`. A column of an envelope is one of them.
#}

{# Their columns, each with a comma after it. #}
{% macro texts_beside(fields, key='event_key') -%}
    {%- for name, spec in fields.items() %}
                    {{ millrace.text_beside(spec, key) }} as "_text_{{ name }}",
        {%- if millrace.may_be_unclear(spec) %}
                    {{ millrace.unclear_beside(spec, key) }} as "_unclear_{{ name }}",
        {%- endif %}
    {%- endfor %}
{%- endmacro %}


{# Not empty where a field may be there and have no text: a header that came twice, a key that is not what was declared. #}
{% macro may_be_unclear(spec) -%}
    {{- 'yes' if spec.header is defined or spec.key is string or spec.is_needed or millrace.attribute_of(spec) -}}
{%- endmacro %}


{# The attribute of a CloudEvent that a column is; empty where it is none. #}
{% macro attribute_of(spec) -%}
    {{- spec.extension or (spec.envelope[3:] if spec.envelope and spec.envelope.startswith('ce_') else '') -}}
{%- endmacro %}


{% macro text_beside(spec, key='event_key') -%}
    {%- if spec.envelope is defined -%}
        _envelope_{{ spec.envelope }}
    {%- elif spec.extension is defined -%}
        _extension_{{ spec.extension }}
    {%- elif spec.key is string -%}
        {%- set path = millrace.json_path(spec.steps if 'steps' in spec else spec.key.split('.')) -%}
        {%- if spec.type == 'json' %}
        nullif({{ millrace.payload_texts(key, [path], 'json_extract') }}[1], 'null')
        {%- else %}
        {{ millrace.payload_texts(key, [path]) }}[1]
        {%- endif %}
    {%- elif spec.key is defined -%}
        {{ millrace.key_text() }}
    {%- elif spec.topic is defined -%}
        {{ millrace.topic_text(spec.topic) }}
    {%- elif spec.header is defined -%}
        list_extract(list_filter([{{ millrace.header_values(spec.header) }}], lambda found: length(found) = 1)[1], 1)
    {%- else -%}
        strftime(timezone('UTC', event_time), '%Y-%m-%dT%H:%M:%S.%fZ')
    {%- endif -%}
{%- endmacro %}


{% macro unclear_beside(spec, key='event_key') -%}
    {%- if millrace.attribute_of(spec) -%}
        (coalesce(list_contains(_repeated, '{{ millrace.attribute_of(spec) }}'), false)
        {{- ' or _envelope_' ~ spec.envelope ~ ' is null' if spec.is_needed }})
    {%- elif spec.envelope is defined -%}
        (_envelope_{{ spec.envelope }} is null)
    {%- elif spec.header is defined -%}
        coalesce(length({{ millrace.header_values(spec.header) }}) > 1, false)
    {%- else -%}
        {#- Also a key with a key of its own that stands twice: which of the two was meant is not known. -#}
        (
            {{ key }} is not null
            and (
                {{ millrace.text_beside(spec, key) }} is null
                or coalesce(try(length(json_keys({{ key }})) > length(list_distinct(json_keys({{ key }})))), true)
            )
        )
    {%- endif -%}
{%- endmacro %}


{# The key as ingestion writes it today (ingestion/log/notation.py); an earlier release left control characters as they are. #}
{% macro key_text() -%}
    case
        when regexp_matches(event_key, '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]') then '\x' || lower(hex(encode(event_key)))
        else event_key
    end
{%- endmacro %}


{# The topic that an event was sent to, or a level of it, counted from 1, or from the end with -1. #}
{% macro topic_text(topic) -%}
    {%- set whole -%}
        {%- if topic.column == 'source_partition' -%}
            regexp_replace(source_partition, '-\d+$', '')
        {%- else -%}
            case
                when regexp_full_match(event_key, '\\x([0-9a-f]{2})*') then try(decode(unhex(substr(event_key, 3))))
                else event_key
            end
        {%- endif -%}
    {%- endset -%}
    {{ whole if topic.level is sameas true else 'string_split(' ~ whole ~ ", '" ~ topic.separator ~ "')[" ~ topic.level ~ ']' }}
{%- endmacro %}


{#
  The values of a header, as texts. Raw has a text or, where the name came more than once, a list; RabbitMQ's are below `headers`,
  MQTT's user properties are pairs below `user_properties`. A `*` alone would be every header: it is reached by a JSON pointer.
#}
{% macro header_values(name) -%}
    list_concat(
        {%- for place in (['/*', '/headers/*'] if name == '*' else ['$."' ~ name ~ '"', '$."headers"."' ~ name ~ '"']) %}
        {%- set path = millrace.literal(place) %}
        case coalesce(json_type(headers, {{ path }}), 'NULL')
            when 'NULL' then []::varchar []
            when 'ARRAY' then json_extract_string(json_extract(headers, {{ path }}), '$[*]')
            else [json_extract_string(headers, {{ path }})]
        end,
        {%- endfor %}
        list_transform(
            list_filter({{ millrace.user_properties() }}, lambda pair: pair[1] = {{ millrace.literal(name) }}),
            lambda pair: pair[2]
        )
    )
{%- endmacro %}


{# The user properties of a message, a list of pairs. #}
{% macro user_properties() -%}
    coalesce(try(from_json(json_extract(headers, '$.user_properties'), '[["VARCHAR"]]')), [])
{%- endmacro %}
