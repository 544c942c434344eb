{# What streams.yml declares about a stream: `fields` (name → type and path), `event_time`, `business_id`. #}
{% macro stream_meta(stream) -%}
    {%- for node in graph.sources.values() if node.source_name == 'raw' and node.name == stream -%}
        {{ return(node.config.meta) }}
    {%- endfor -%}
    {%- do exceptions.raise_compiler_error("Stream '" ~ stream ~ "' is not declared; add it to streams.yml") -%}
{%- endmacro %}


{# The columns that every staging model has besides the declared fields. #}
{% macro envelope_columns() -%}
    {{ return(['batch_id', 'source_partition', 'position', 'event_id', 'event_key', 'event_at', 'clock_ahead_seconds', 'ingested_at', 'payload_hash', 'cast_errors']) }}
{%- endmacro %}


{#
  The events of a stream after a batch (and `until`, a predicate), with the declared fields as typed columns. Tombstones are left out: they say
  nothing about an event; raw keeps them.

  - `event_at`: the declared event-time field, else the broker's timestamp, else the time of ingestion: the first that is plausible
    (plausible_times.sql); never null. The field itself shows what was sent.
  - `clock_ahead_seconds`: by how much the time that was not plausible lies after the receipt; else null.
  - `cast_errors`: the fields that are in the payload and whose value their type cannot hold as it was sent, or whose keys leave
    open which value was meant (their columns are null); `payload` if DuckDB cannot read the JSON at all.
  - `payload_hash`, where the stream has a business id: shows whether two deliveries are the same event.
#}
{% macro typed_events(stream, after=0, until='true') -%}
    {%- set relation = source('raw', stream) -%}
    {%- if not execute -%}
        {{ return('select * from ' ~ relation) }}
    {%- endif -%}
    {%- set meta = millrace.stream_meta(stream) -%}
    {%- set fields = meta.fields or {} -%}
    {%- for name in fields if name in millrace.envelope_columns() -%}
        {%- do exceptions.raise_compiler_error(
            "Field '" ~ name ~ "' of stream '" ~ stream ~ "' has the name of a column that staging adds; "
            ~ "call it otherwise in streams.yml and add 'path: " ~ name ~ "' to it"
        ) -%}
    {%- endfor -%}
    {%- set where = ('' if meta.envelope == 'cloudevents' else 'payload is not null and ') ~ 'batch_id > ' ~ after ~ ' and ' ~ until -%}
    {{ millrace.typed_payloads(relation, fields, meta.event_time, where, hashed=meta.business_id, tolerance=meta.get('clock_tolerance_minutes', 10), envelope=meta.envelope) }}
{%- endmacro %}


{#
  Rows of raw with the declared fields as typed columns. `envelope` names what is round the payload. Columns that begin with
  an underscore are in between only: no field has such a name.
#}
{% macro typed_payloads(relation, fields, event_time=none, where='true', hashed=false, tolerance=10, envelope=none) -%}
    {%- set paths = [] -%}
    {%- set json_paths = [] -%}
    {%- set texts = {} -%}
    {%- set objects = {} -%}
    {%- set beside = {} -%}
    {%- set decoded = {} -%}
    {%- for name, spec in fields.items() -%}
        {%- if not spec.path -%}
            {%- do beside.update({name: spec}) -%}
            {%- do texts.update({name: '"_text_' ~ name ~ '"'}) -%}
        {%- elif spec.type == 'json' -%}
            {%- do json_paths.append(millrace.json_path(spec.path)) -%}
            {%- do texts.update({name: "nullif(_values[" ~ json_paths | length ~ "], 'null')"}) -%}
        {%- else -%}
            {%- do paths.append(millrace.json_path(spec.path)) -%}
            {%- do texts.update({name: '_texts[' ~ paths | length ~ ']'}) -%}
        {%- endif -%}
        {%- for key in (spec.path or '.').split('.') if (spec.path or '.') != '.' -%}
            {%- set object = millrace.json_path('.'.join(spec.path.split('.')[:loop.index0]) or '.') -%}
            {%- set known = objects.setdefault(object, []) -%}
            {%- if key not in known -%}
                {%- do known.append(key) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set happened = millrace.clear_value(event_time, beside) if event_time else none -%}
    {#- The day of a `date` may begin up to 14 hours after the receipt, somewhere on earth. -#}
    {%- set leeway = tolerance + (840 if event_time and fields[event_time].type == 'date' else 0) -%}
    {%- set in_payload = [] -%}
    {%- for name, text in texts.items() if name not in beside -%}
        {%- do in_payload.append(text) -%}
        {%- if fields[name].encoding or (envelope == 'debezium' and fields[name].type not in ('varchar', 'json', 'boolean')) -%}
            {%- do decoded.update({name: text}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name in decoded -%}
        {%- do texts.update({name: '"_text_' ~ name ~ '"'}) -%}
    {%- endfor -%}
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
            when {{ '_keys is null' if objects else 'not _is_json' }}{{ ' or _texts is null' if paths }}{{ ' or _values is null' if json_paths }} then ['payload']
            else list_filter(
                [
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
            case when _has_repeated_keys is not null then {{ millrace.badly_keyed(fields, objects) }} end as _wrong,
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
                {{ millrace.decoded_text(text, fields[name]) }} as "_text_{{ name }}",
                {% endfor -%}
                {% if objects -%}
                case when {{ millrace.has_declared_keys_only(objects, in_payload) }} then null else {{ millrace.has_repeated_keys(objects) }} end
                {%- else -%}
                null
                {%- endif %} as _has_repeated_keys
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
                    (md5_number_lower({{ '_contents' if envelope else 'payload' }}) // 2)::bigint as payload_hash,
                    {%- endif %}
                    {{ 'null' if objects else 'json_valid(payload)' }} as _is_json,
                    {{ 'try(json_keys(payload, ' ~ millrace.path_list(objects) ~ '))' if objects else 'null' }} as _keys,
                    {{ millrace.payload_texts('payload', paths) if paths else 'null' }} as _texts,
                    {{ millrace.payload_texts('payload', json_paths, 'json_extract') if json_paths else 'null' }} as _values
                {%- if envelope == 'debezium' %}
                from {{ millrace.unwrapped_debezium(relation, where) }} as opened
                {%- elif envelope == 'cloudevents' %}
                from {{ millrace.unwrapped_cloudevents(relation, where, beside.values() | selectattr('extension', 'defined') | map(attribute='extension') | unique | list) }} as opened
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
{% macro decoded_text(text, spec) -%}
    {%- if spec.encoding -%}
        {{ millrace.unscaled_text(text, (spec.type[8:-1].split(',')[1] | int) if spec.type.startswith('decimal') else 0) }}
    {%- else -%}
        {{ millrace.connect_text(text, spec) }}
    {%- endif -%}
{%- endmacro %}


{# The path of streams.yml, keys with dots between them, as DuckDB's JSON functions write it. #}
{% macro json_path(path) -%}
    {{ '$' if path == '.' else '$."' ~ path | replace('.', '"."') ~ '"' }}
{%- endmacro %}
