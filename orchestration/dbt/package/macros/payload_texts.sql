{#
  The texts of declared fields in a JSON payload, number by number as they were sent.

  DuckDB reads a JSON number with a dot or an exponent as a double and prints that: 1.10 comes back as 1.1, 12345678901234567.89 as
  12345678901234568.0. So each payload is looked at first: where a number might print otherwise, and does, every number of it
  is put into quotes, beside a mark that the payload cannot hold (its own MD5), and the mark is taken off what was found.
#}
{% macro payload_texts(payload, paths, function='json_extract_string') -%}
    {%- set list = millrace.path_list(paths) -%}
    case
        when {{ millrace.prints_otherwise(payload) }} then
            list_transform(
                try({{ function }}({{ millrace.marked_numbers(payload) }}, {{ list }})),
                lambda text: {{ millrace.unmarked('text', payload) }}
            )
        else try({{ function }}({{ payload }}, {{ list }}){{ '::varchar []' if function == 'json_extract' }})
    end
{%- endmacro %}


{#
  Whether DuckDB would print a number of a payload otherwise than it was sent. The first, quick look finds every number with an exponent, with
  zeros at its end, with more than 15 digits, with five zeros after the dot, and -0. The second compares, without spaces, what DuckDB prints.
#}
{% macro prints_otherwise(payload) -%}
    (
        regexp_matches(
            {{ payload }},
            '(^|[:,\[\s])(-?(\d+\.\d+0|\d+(\.\d+)?[eE][+-]?\d+|0\.00000\d*|[\d.]{17,})|-0)([,\]}\s]|$)'
        )
        and {{ millrace.without_spaces(payload) }} is distinct from {{ millrace.without_spaces('try(json(' ~ payload ~ '))') }}
    )
{%- endmacro %}


{% macro without_spaces(json) -%}
    replace({{ json }}, ' ', '')
{%- endmacro %}


{#
  A payload with each number in quotes and marks: what is not within a string and begins like a number is one. What follows the last
  number is matched with an empty one, or the search would go on within strings; its marks are taken out again.
#}
{% macro marked_numbers(payload) -%}
    replace(
        regexp_replace(
            {{ payload }},
            '((?:"(?:[^"\\]|\\.)*"|[^"0-9-])*)(-?[0-9][0-9.eE+-]*|$)',
            '\1"' || md5({{ payload }}) || '\2' || md5({{ payload }}) || '"',
            'g'
        ),
        '"' || md5({{ payload }}) || md5({{ payload }}) || '"',
        ''
    )
{%- endmacro %}


{% macro unmarked(text, payload) -%}
    replace(replace(replace({{ text }}, '"' || md5({{ payload }}), ''), md5({{ payload }}) || '"', ''), md5({{ payload }}), '')
{%- endmacro %}


{% macro path_list(paths) -%}
    [{% for path in paths %}{{ millrace.literal(path) }}{{ ', ' if not loop.last }}{% endfor %}]
{%- endmacro %}
