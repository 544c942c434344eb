{#
  Rows of raw with the declared fields as typed columns. `envelope` names what is round the payload. With `unnest` (steps to an
  array) each element is a row; fields of what encloses it (`outer`) are taken before the elements part, and come first in the
  lists of texts and of keys. Columns that begin with an underscore are in between only: no field has such a name.
#}
{% macro typed_payloads(relation, fields, event_time=none, where='true', hashed=false, tolerance=10, envelope=none, unnest=none) -%}
    {%- set steps = {} -%}
    {%- set texts = {} -%}
    {%- set paths = {'outer': [], 'inner': []} -%}
    {%- set json_paths = {'outer': [], 'inner': []} -%}
    {%- set objects = {} -%}
    {%- set object_paths = {'outer': [], 'inner': []} -%}
    {%- set in_payload = {} -%}
    {%- set beside = {} -%}
    {%- set decoded = {} -%}
    {%- for name, spec in fields.items() if not spec.path -%}
        {%- do beside.update({name: spec}) -%}
        {%- do texts.update({name: '"_text_' ~ name ~ '"'}) -%}
    {%- endfor -%}
    {%- for level in ['outer', 'inner'] -%}
        {%- for name, spec in fields.items() if spec.path and ('outer' if spec.encloses else 'inner') == level -%}
            {%- do steps.update({name: spec.steps if 'steps' in spec else [] if spec.path == '.' else spec.path.split('.')}) -%}
            {%- if spec.type == 'json' -%}
                {%- do json_paths[level].append(millrace.json_path(steps[name])) -%}
                {%- do texts.update({name: "nullif(_values[" ~ (json_paths.outer + json_paths.inner) | length ~ "], 'null')"}) -%}
            {%- else -%}
                {%- do paths[level].append(millrace.json_path(steps[name])) -%}
                {%- do texts.update({name: '_texts[' ~ (paths.outer + paths.inner) | length ~ ']'}) -%}
            {%- endif -%}
            {%- do in_payload.update({name: texts[name]}) -%}
            {%- for key in steps[name] -%}
                {%- if key is string -%}
                    {%- set object = millrace.json_path(steps[name][:loop.index0]) -%}
                    {%- if object not in object_paths[level] -%}
                        {%- do object_paths[level].append(object) -%}
                    {%- endif -%}
                    {%- set known = objects.setdefault(level ~ ' ' ~ object, []) -%}
                    {%- if key not in known -%}
                        {%- do known.append(key) -%}
                    {%- endif -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set happened = millrace.clear_value(event_time, beside) if event_time else none -%}
    {#- The day of a `date` may begin up to 14 hours after the receipt, somewhere on earth. -#}
    {%- set leeway = tolerance + (840 if event_time and fields[event_time].type == 'date' else 0) -%}
    {%- set inner_texts = [] -%}
    {%- for name, text in in_payload.items() -%}
        {%- if not fields[name].encloses -%}
            {%- do inner_texts.append(text) -%}
        {%- endif -%}
        {%- if fields[name].encoding or (envelope == 'debezium' and fields[name].type not in ('varchar', 'json', 'boolean')) -%}
            {%- do decoded.update({name: text}) -%}
            {%- do texts.update({name: '"_text_' ~ name ~ '"'}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set inner_paths = paths.inner + json_paths.inner -%}
    {%- set may_fit_none = inner_paths and '$' not in inner_paths -%}
    {%- set outer = {} -%}
    {%- if paths.outer -%}
        {%- do outer.update({'_outer_texts': millrace.payload_texts('payload', paths.outer)}) -%}
    {%- endif -%}
    {%- if json_paths.outer -%}
        {%- do outer.update({'_outer_values': millrace.payload_texts('payload', json_paths.outer, 'json_extract')}) -%}
    {%- endif -%}
    {%- if object_paths.outer -%}
        {%- do outer.update({'_outer_keys': 'try(json_keys(payload, ' ~ millrace.path_list(object_paths.outer) ~ '))'}) -%}
    {%- endif -%}
    {%- set inner = {
        '_texts': millrace.payload_texts('payload', paths.inner) if paths.inner else 'null',
        '_values': millrace.payload_texts('payload', json_paths.inner, 'json_extract') if json_paths.inner else 'null',
        '_keys': 'try(json_keys(payload, ' ~ millrace.path_list(object_paths.inner) ~ '))' if object_paths.inner else 'null'
    } -%}
    {%- set contents = '_contents' if envelope else 'concat(payload, ' ~ outer | join('::varchar, ') ~ '::varchar)' if outer else 'payload' -%}
    select
        batch_id,
        source_partition,
        position,
        event_id,
        event_key,
        {{ millrace.believed_time(happened, '_event_time', '_received_at', 'ingested_at', leeway) }} as event_at,
        {{ millrace.clock_ahead(happened, '_event_time', '_received_at', 'ingested_at', leeway) }} as clock_ahead_seconds,
        ingested_at,
        {%- if hashed %}
        payload_hash,
        {%- endif %}
        {%- for name in fields %}
        {{ millrace.clear_value(name, beside) }} as "{{ name }}",
        {%- endfor %}
        case
            when {{ '_keys is null' if objects else 'not _is_json' }}
                {{- ' or _texts is null' if paths.outer + paths.inner }}
                {{- ' or _values is null' if json_paths.outer + json_paths.inner }} then ['payload']
            else list_filter(
                [
                    {%- if may_fit_none or unnest is not none %}
                    case when {{ '_is_empty or ' if unnest is not none }}_fits_none and (_wrong is null or length(_wrong) = 0) then 'payload' end{{ ',' if fields }}
                    {%- endif %}
                    {%- for name in fields %}
                    case when {{ decoded.get(name) or texts[name] }} is not null and "{{ name }}" is null
                        {{- ' or "_unclear_' ~ name ~ '"' if name in beside and millrace.may_be_unclear(beside[name]) }}
                        {{- ' or list_contains(_wrong, ' ~ millrace.literal(name) ~ ')' if name not in beside }} then '{{ name }}' end
                    {{- ',' if not loop.last }}
                    {%- endfor %}
                ]::varchar [],
                lambda name: name is not null
            )
        end as cast_errors
    from (
        select
            batch_id,
            source_partition,
            position,
            event_id,
            event_key,
            _event_time,
            {{ millrace.received_at('_event_time', 'ingested_at', tolerance) }} as _received_at,
            ingested_at,
            {%- if hashed %}
            payload_hash,
            {%- endif %}
            _is_json,
            _is_empty,
            _fits_none,
            {%- for name, spec in beside.items() %}
            "_text_{{ name }}",
            {{- ' "_unclear_' ~ name ~ '",' if millrace.may_be_unclear(spec) }}
            {%- endfor %}
            {%- for name in decoded %}
            "_text_{{ name }}",
            {%- endfor %}
            {%- for name, spec in fields.items() %}
            {{ millrace.typed_value(texts[name], spec.type, spec.unit, spec.format, spec.pattern, spec.zone) }} as "{{ name }}",
            {%- endfor %}
            {%- if objects %}
            case when _has_repeated_keys is not null then {{ millrace.badly_keyed(fields, steps, objects) }} end as _wrong,
            {%- else %}
            null::varchar [] as _wrong,
            {%- endif %}
            _keys,
            _texts,
            _values
        from (
            select
                *,
                {% for name, text in decoded.items() -%}
                {{ millrace.decoded_text(text, fields[name], steps[name]) }} as "_text_{{ name }}",
                {% endfor -%}
                {% if objects -%}
                case when {{ millrace.has_declared_keys_only(objects, in_payload.values() | list) }} then null else {{ millrace.has_repeated_keys(objects) }} end
                {%- else -%}
                null
                {%- endif %} as _has_repeated_keys,
                {% if may_fit_none -%}
                case
                    when {{ inner_texts | join(' is null and ') }} is null{{ " and _payload <> '{}'" if envelope }}
                        then not coalesce(list_contains(try(json_exists(_payload, {{ millrace.path_list(inner_paths) }})), true), false)
                end
                {%- else -%}
                null
                {%- endif %} as _fits_none
            from (
                select
                    batch_id,
                    source_partition,
                    position,
                    event_id,
                    event_key,
                    event_time as _event_time,
                    ingested_at,
                    {{- millrace.texts_beside(beside, '_row_key' if envelope == 'debezium' else 'event_key') }}
                    {{- ' _schema,' if envelope == 'debezium' }}
                    {%- if hashed %}
                    (md5_number_lower({{ contents }}) // 2)::bigint as payload_hash,
                    {%- endif %}
                    payload as _payload,
                    {{ 'null' if objects else 'json_valid(payload)' }} as _is_json,
                    {{ 'payload is null' if unnest is not none else 'null' }} as _is_empty
                    {%- for name, column in inner.items() %},
                    {{ 'list_concat(_outer' ~ name ~ ', ' ~ column ~ ')' if '_outer' ~ name in outer else column }} as {{ name }}
                    {%- endfor %}
                {%- if envelope == 'debezium' %}
                from {{ millrace.unwrapped_debezium(relation, where) }} as opened
                {%- elif envelope == 'cloudevents' %}
                from {{ millrace.unwrapped_cloudevents(relation, where, beside.values() | selectattr('extension', 'defined') | map(attribute='extension') | unique | list) }} as opened
                {%- elif unnest is not none %}
                from {{ millrace.unnested(relation, where, unnest, outer) }} as elements
                {%- else %}
                from {{ relation }}
                where {{ where }}
                {%- endif %}
            ) as extracted
        ) as keyed
    ) as typed
{%- endmacro %}


{# A typed field, null where it is not clear which of several values was meant. #}
{% macro clear_value(name, beside) -%}
    {%- if name not in beside -%}
        case when _wrong is null or not list_contains(_wrong, '{{ name }}') then "{{ name }}" end
    {%- elif millrace.may_be_unclear(beside[name]) -%}
        case when not "_unclear_{{ name }}" then "{{ name }}" end
    {%- else -%}
        "{{ name }}"
    {%- endif -%}
{%- endmacro %}


{# A field's text as it is meant: of the envelope's schema, or of the `encoding` that the field declares. #}
{% macro decoded_text(text, spec, steps) -%}
    {%- if spec.encoding -%}
        {{ millrace.unscaled_text(text, (spec.type[8:-1].split(',')[1] | int) if spec.type.startswith('decimal') else 0) }}
    {%- else -%}
        {{ millrace.connect_text(text, spec, steps) }}
    {%- endif -%}
{%- endmacro %}
