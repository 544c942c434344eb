{#
  A value's text as a type, or null. What staging shows is what was sent: nothing is rounded and nothing is guessed. A text
  that the type cannot hold as it is has no value (docs/values.md shows examples of each type).

  Arguments: `unit`, `format`, `pattern` and `zone` are what a field of type timestamp or date may declare.
#}
{% macro typed_value(text, type, unit=none, format=none, pattern=none, zone=none) -%}
    {%- if type == 'varchar' -%}
        {{ text }}
    {%- elif type in ('bigint', 'integer') -%}
        case
            when regexp_full_match({{ text }}, '[+-]?\d{1,18}') then try_cast({{ text }} as {{ type }})
            when {{ millrace.is_exactly(text, 'try_cast(' ~ text ~ ' as ' ~ type ~ ')::varchar') }} then try_cast({{ text }} as {{ type }})
        end
    {%- elif type.startswith('decimal') -%}
        {%- set digits = type[8:-1].split(',') -%}
        {%- set scale = digits[1] | int -%}
        {%- set whole = (digits[0] | int) - scale -%}
        case
            when regexp_full_match({{ text }}, '[+-]?{{ '\\d{1,' ~ whole ~ '}' if whole > 0 else '0' }}{{ '(\\.\\d{1,' ~ scale ~ '})?' if scale }}')
                then try_cast({{ text }} as {{ type }})
            when {{ millrace.is_exactly(text, 'try_cast(' ~ text ~ ' as ' ~ type ~ ')::varchar') }} then try_cast({{ text }} as {{ type }})
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
        when isfinite(try_cast({{ text }} as double)) and (
            try_cast({{ text }} as double)::varchar = {{ text }}
            or {{ millrace.is_exactly(
                text,
                "printf('%.' || greatest(length(" ~ millrace.digits_of(text) ~ ") - 1, 0) || 'e', try_cast(" ~ text ~ " as double))"
            ) }}
        ) then try_cast({{ text }} as double)
    end
{%- endmacro %}


{# Whether two texts are the same decimal number; null where one is not a number. #}
{% macro is_exactly(text, other) -%}
    {{ millrace.decimal_form(text) }} = {{ millrace.decimal_form(other) }}
{%- endmacro %}


{# A decimal number in one form, sign, digits and power of ten, as in -15e-1 for -1.50; null for what is not a number. #}
{% macro decimal_form(text) -%}
    {%- set mantissa = "regexp_replace(" ~ text ~ ", '^[+-]?(\\d+)\\.?(\\d*).*$', '\\1\\2')" -%}
    {%- set fraction = "length(regexp_extract(" ~ text ~ ", '\\.(\\d*)', 1))" -%}
    {%- set exponent = "regexp_extract(" ~ text ~ ", '[eE](.+)$', 1)" -%}
    case when regexp_full_match({{ text }}, '[+-]?\d+(\.\d+)?([eE][+-]?\d+)?') then
        case when {{ millrace.digits_of(text) }} = '' then '0' else
            case when starts_with({{ text }}, '-') then '-' else '' end
            || {{ millrace.digits_of(text) }} || 'e' || (
                case when {{ exponent }} = '' then 0 else try_cast({{ exponent }} as bigint) end
                - {{ fraction }} + length({{ mantissa }}) - length(rtrim({{ mantissa }}, '0'))
            )
        end
    end
{%- endmacro %}


{# The significant digits of a number's text. #}
{% macro digits_of(text) -%}
    trim(regexp_replace({{ text }}, '^[+-]?(\d+)\.?(\d*).*$', '\1\2'), '0')
{%- endmacro %}
