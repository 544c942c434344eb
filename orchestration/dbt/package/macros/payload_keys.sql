{#
  Two rules about keys (docs/values.md). Keys are compared letter by letter, and a key that stands twice in its object has no value,
  since it is not known which of the two was meant. A field is named in `cast_errors` when a key of its path stands
  twice, and when a key of its path is missing while one is there that differs from it in case only.

  In all of them, `objects` are the objects that hold declared keys, by level and JSON path, each with those keys, and `_keys` is the
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


{#
  The fields that cannot be found by their keys. One expression for all of them: what differs is in constant lists, an entry for
  each key of each path.
#}
{% macro badly_keyed(fields, steps, objects) -%}
    {%- set entries = {'names': [], 'objects': [], 'keys': [], 'lowered': []} -%}
    {%- for name, path in steps.items() -%}
        {%- for key in path -%}
            {%- if key is string -%}
                {%- set object = ('outer ' if fields[name].encloses else 'inner ') ~ millrace.json_path(path[:loop.index0]) -%}
                {%- set variants = [] -%}
                {%- for other in objects[object] if other != key and other.lower() == key.lower() -%}
                    {%- do variants.append(other) -%}
                {%- endfor -%}
                {%- do entries['names'].append(name) -%}
                {%- do entries['objects'].append((objects | list).index(object) + 1) -%}
                {%- do entries['keys'].append(key) -%}
                {%- do entries['lowered'].append('' if variants else key.lower()) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set keys = '_keys[[' ~ entries['objects'] | join(', ') ~ '][entry]]' -%}
    {%- set key = millrace.path_list(entries['keys']) ~ '[entry]' -%}
    list_transform(
        list_filter(
            range(1, {{ entries['names'] | length + 1 }}),
            lambda entry: case
                when list_contains({{ keys }}, {{ key }})
                    then _has_repeated_keys and length(list_filter({{ keys }}, lambda each: each = {{ key }})) > 1
                else list_contains(
                    list_transform({{ keys }}, lambda each: lower(each)), {{ millrace.path_list(entries['lowered']) }}[entry]
                )
            end
        ),
        lambda entry: {{ millrace.path_list(entries['names']) }}[entry]
    )
{%- endmacro %}
