{#
  Two rules about keys (docs/values.md). Keys are compared letter by letter, and a key that stands twice in its object has no value,
  since it is not known which of the two was meant. A field is named in `cast_errors` when a key of its path stands
  twice, and when a key of its path is missing while one is there that differs from it in case only.

  In all of them, `objects` are the JSON paths of the objects that hold declared keys, each with those keys, and `_keys` is the
  column with the keys of these objects, in the same order.
#}

{# Whether the objects hold the declared keys and no other: then no key stands twice, and none is missing. #}
{% macro has_declared_keys_only(objects, texts) -%}
    {% for declared in objects.values() %}length(_keys[{{ loop.index }}]) = {{ declared | length }} and {% endfor -%}
    {% for text in texts %}{{ text }} is not null{{ ' and ' if not loop.last }}{% endfor %}
{%- endmacro %}


{# Whether any key of these objects stands twice. #}
{% macro has_repeated_keys(objects) -%}
    {% for _ in objects -%}
        coalesce(length(list_distinct(_keys[{{ loop.index }}])) < length(_keys[{{ loop.index }}]), false){{ ' or ' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# Whether a field cannot be found by its keys: true, or null. #}
{% macro is_badly_keyed(path, text, objects) -%}
    {%- set places = [] -%}
    {%- for key in path.split('.') -%}
        {%- set object = millrace.json_path('.'.join(path.split('.')[:loop.index0]) or '.') -%}
        {%- set number = (objects | list).index(object) + 1 -%}
        {%- set variants = [] -%}
        {%- for other in objects[object] if other != key and other.lower() == key.lower() -%}
            {%- do variants.append(other) -%}
        {%- endfor -%}
        {%- do places.append({'keys': '_keys[' ~ number ~ ']', 'key': millrace.literal(key), 'is_alone': not variants}) -%}
    {%- endfor -%}
    case
        when _has_repeated_keys then
            case when {% for place in places -%}
                length(list_filter({{ place['keys'] }}, lambda key: key = {{ place['key'] }})) > 1{{ ' or ' if not loop.last }}
            {%- endfor %} then true end
        when {{ text }} is null then
            case {%- for place in places if place['is_alone'] %}
                when contains(lower(array_to_string({{ place['keys'] }}, chr(10))), lower({{ place['key'] }}))
                    and not list_contains({{ place['keys'] }}, {{ place['key'] }})
                    and list_contains(list_transform({{ place['keys'] }}, lambda key: lower(key)), lower({{ place['key'] }}))
                    then true
            {%- else %} when false then true
            {%- endfor %} end
    end
{%- endmacro %}
