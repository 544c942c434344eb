{#
  A value's text as a type, or null. What staging shows is what was sent: nothing is rounded and nothing is guessed. A text
  that the type cannot hold as it is has no value (docs/values.md shows examples of each type).

  Arguments: `unit`, `format`, `pattern` and `zone` are what a field of type timestamp or date may declare.
#}
{% macro typed_value(text, type, unit=none, format=none, pattern=none, zone=none) -%}
    {%- if type == 'varchar' -%}
        {{ text }}
    {%- elif type in ('bigint', 'integer') or type.startswith('decimal') -%}
        {%- set scale = (type[8:-1].split(',')[1] | int) if type.startswith('decimal') else 0 -%}
        case
            when regexp_full_match({{ text }}, '[+-]?\d+{{ '(\\.\\d{0,' ~ scale ~ '}0*)?' }}') then try_cast({{ text }} as {{ type }})
            when regexp_full_match({{ text }}, '[+-]?\d{1,10}(\.\d{1,9})?[eE](-\d|\+?0*1?\d)')
                then {{ millrace.exact_cast('try_cast(' ~ text ~ ' as decimal(38, 18))', type) }}
        end
    {%- elif type == 'double' -%}
        {{ millrace.typed_double(text) }}
    {%- elif type == 'boolean' -%}
        case lower({{ text }}) when 'true' then true when 'false' then false when '1' then true when '0' then false end
    {%- elif type == 'timestamp' -%}
        {{ millrace.typed_timestamp(text, unit, format, pattern, zone) }}
    {%- elif type == 'date' -%}
        {{ millrace.typed_date(text, unit, format, pattern, zone) }}
    {%- elif type == 'json' -%}
        case when json_valid({{ text }}) then {{ text }}::json end
    {%- else -%}
        {%- do exceptions.raise_compiler_error("'" ~ type ~ "' is not a type of a field; streams.yml names the types") -%}
    {%- endif -%}
{%- endmacro %}


{#
  A double, where the text is one: up to 15 digits always are; a longer text must be what that double prints with as many digits.
  9007199254740993 and 12345678901234567.89 lie between two doubles, 1e400 and 1e-400 beyond them all.
#}
{% macro typed_double(text) -%}
    case
        when regexp_full_match({{ text }}, '[+-]?\d{1,7}(\.\d{1,8})?') then try_cast({{ text }} as double)
        when regexp_full_match({{ text }}, '[+-]?\d+(\.\d+)?([eE][+-]?\d+)?') then
            list_filter(
                [try_cast({{ text }} as double)],
                lambda number: isfinite(number) and case
                    when number::varchar = {{ text }} then true
                    when contains(lower({{ text }}), 'e')
                        then {{ millrace.short_exponent(text) }}
                            = {{ millrace.short_exponent("printf('%.' || length(regexp_extract(" ~ text ~ ", '\\.(\\d+)', 1)) || 'e', number)") }}
                    else regexp_replace({{ text }}, '^(-?)\+?0*(\d)', '\1\2')
                        = printf('%.' || length(regexp_extract({{ text }}, '\.(\d+)', 1)) || 'f', number)
                end
            )[1]
    end
{%- endmacro %}


{# A number with an exponent, written in one way: 1.5e5 for 1.5E+05. #}
{% macro short_exponent(text) -%}
    regexp_replace(replace(lower({{ text }}), 'e+', 'e'), 'e(-?)0*(\d)', 'e\1\2')
{%- endmacro %}


{# A decimal as another type, or null where that would round it. #}
{% macro exact_cast(decimal, type) -%}
    list_filter(
        [try_cast({{ decimal }} as {{ type }})],
        lambda number: try_cast(number as decimal(38, 18)) = {{ decimal }}
    )[1]
{%- endmacro %}
