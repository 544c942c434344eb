{#
  A text as an instant, or null.

  - ISO 8601 and RFC 3339: year, month and day, or these and a time of day, extended or basic (2026-03-01T08:00:00Z, 20260301T080000Z);
    T, t or a space between; seconds may be missing, a fraction has a dot or a comma; the offset is Z, z, UTC, GMT, +01, +0100 or +01:00,
    with a space before it or without, and may name its zone as in [Europe/Berlin]. Without an offset it is of `zone`, else UTC.
  - Numbers since 1970. Without a declared `unit`, only what lies within 1990 to 2100 as seconds, milliseconds, microseconds or
    nanoseconds: no number does as two of them.
  - With a declared `format`, only that. `pattern` is the regular expression of it (ingestion/declare/times.py).

  Of the years 1 to 9999. What is finer than a microsecond is cut off.
#}
{% macro typed_timestamp(text, unit=none, format=none, pattern=none, zone=none) -%}
    {%- if format -%}
        {{ millrace.formatted_time(text, format, pattern, zone) }}
    {%- else -%}
    case
        when regexp_full_match({{ text }}, '(19|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)')
            then try_cast({{ text }} as timestamptz)
        when {{ millrace.is_number(text) }} then {{ millrace.time_of_number(text, unit) }}
        when length({{ text }}) between 10 and 80 then {{ millrace.iso_time(text, zone) }}
    end
    {%- endif -%}
{%- endmacro %}


{#
  The day of the same instant, UTC or of `zone`; a text that is a day only is that day. A number is days since 1970 where the
  unit is days, or none is declared and the day lies within 1990 to 2100; else it is an instant as in `typed_timestamp`.
#}
{% macro typed_date(text, unit=none, format=none, pattern=none, zone=none) -%}
    {%- set at = "'" ~ (zone or 'UTC') ~ "'" -%}
    {%- if format and '%z' not in format -%}
        case when regexp_full_match({{ text }}, {{ millrace.literal(pattern) }}) then try_strptime({{ text }}, {{ millrace.literal(format) }})::date end
    {%- elif format -%}
        timezone({{ at }}, {{ millrace.formatted_time(text, format, pattern, zone) }})::date
    {%- else -%}
    case
        when regexp_full_match({{ text }}, '\d{4}-\d\d-\d\d')
            then case when {{ text }} >= '0001' then try_cast({{ text }} as date) end
        {%- if unit == 'days' %}
        when {{ millrace.is_number(text) }} then timezone('UTC', {{ millrace.time_of_number(text, unit) }})::date
        {%- elif not unit %}
        when regexp_full_match({{ text }}, '\d{4,5}') and {{ text }}::integer between 7305 and 47482
            then date '1970-01-01' + {{ text }}::integer
        {%- endif %}
        else timezone({{ at }}, {{ millrace.typed_timestamp(text, unit, none, none, zone) }})::date
    end
    {%- endif -%}
{%- endmacro %}


{% macro is_number(text) -%}
    regexp_full_match({{ text }}, '[+-]?\d{1,25}(\.\d+)?([eE][+-]?\d{1,3})?')
{%- endmacro %}


{# A number since 1970 as an instant. What is finer than a microsecond is cut off, towards the past. #}
{% macro time_of_number(text, unit=none) -%}
    list_transform(
        [{{ millrace.number_since_1970(text) }}],
        lambda number: try(make_timestamptz(floor({{ millrace.microseconds_of('number', unit) }})::bigint))
    )[1]
{%- endmacro %}


{# Digits that cannot count are cut from the text, as a cast to decimal would round them. #}
{% macro number_since_1970(text) -%}
    try_cast(regexp_replace({{ text }}, '^([^eE]*\.\d{12})\d+$', '\1') as decimal(38, 12))
{%- endmacro %}


{# A number since 1970 in microseconds and their fractions; null outside the years 1 to 9999. #}
{% macro microseconds_of(number, unit=none) -%}
    {%- if unit -%}
    {%- set scales = {'days': '86400000000', 's': '1000000', 'ms': '1000', 'us': '1', 'ns': '0.001'} -%}
    case
        when floor({{ number }} * {{ scales[unit] }}) between -62135596800000000 and 253402300799999999
            then {{ number }} * {{ scales[unit] }}
    end
    {%- else -%}
    case
        when {{ number }} < 631152000 then null
        when {{ number }} < 4102444800 then {{ number }} * 1000000
        when {{ number }} < 631152000000 then null
        when {{ number }} < 4102444800000 then {{ number }} * 1000
        when {{ number }} < 631152000000000 then null
        when {{ number }} < 4102444800000000 then {{ number }}
        when {{ number }} < 631152000000000000 then null
        when {{ number }} < 4102444800000000000 then {{ number }} * 0.001
    end
    {%- endif -%}
{%- endmacro %}


{# Whether a text that is a time says it finer than to the microsecond, so that staging cuts digits off. #}
{% macro is_cut_time(text, unit=none, format=none) -%}
    {%- if format and '%n' in format -%}
    regexp_matches({{ text }}, '\d{6}(00[1-9]|0[1-9]\d|[1-9]\d\d)(\D|$)')
    {%- elif format -%}
    regexp_matches({{ text }}, '[.,]\d{6}0*[1-9]')
    {%- else -%}
    case
        when {{ millrace.is_number(text) }} then
            regexp_matches({{ text }}, '^[^eE]*\.\d{12}\d*[1-9]\d*$')
            or coalesce(list_transform(
                [{{ millrace.number_since_1970(text) }}],
                lambda number: try({{ millrace.microseconds_of('number', unit) }} <> floor({{ millrace.microseconds_of('number', unit) }}))
            )[1], false)
        else regexp_matches({{ text }}, '[.,]\d{6}0*[1-9]')
    end
    {%- endif -%}
{%- endmacro %}


{# A text of ISO 8601 as an instant: first in one form, extended and with seconds, then cast. #}
{% macro iso_time(text, zone=none) -%}
    {%- set steps = [
        ["^(\\d{4})(\\d\\d)(\\d\\d)([Tt ])", "\\1-\\2-\\3\\4"],
        ["^(\\d{4}-\\d\\d-\\d\\d)[Tt ]", "\\1 "],
        ["^(.{11}\\d\\d)(\\d\\d)", "\\1:\\2"],
        ["^(.{11}\\d\\d:\\d\\d)(\\d\\d)", "\\1:\\2"],
        ["^(.{11}\\d\\d:\\d\\d)([^:\\d.,]|$)", "\\1:00\\2"],
        ["^(.{19}),(\\d)", "\\1.\\2"],
        ["([Zz0-9])\\[[A-Za-z0-9_+/-]+\\]$", "\\1"],
        ["^(.{19}[.\\d]*) ?([zZ]|UTC|GMT)$", "\\1+00:00"],
        ["^(.{19}[.\\d]*) ?([+-]\\d\\d):?(\\d\\d)?$", "\\1\\2\\3"],
    ] -%}
    {%- set forms = [text] -%}
    {%- for pattern, replacement in steps -%}
        {%- do forms.append("regexp_replace(" ~ forms[-1] ~ ", '" ~ pattern ~ "', '" ~ replacement ~ "')") -%}
    {%- endfor -%}
    list_transform(
        [{{ forms[-1] }}],
        lambda iso: case
            when regexp_full_match(iso, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]([01]\d|2[0-3])([0-5]\d)?')
                then {{ millrace.of_our_years('try_cast(iso as timestamptz)') }}
            when regexp_full_match(iso, '\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?')
                then {{ millrace.of_our_years(millrace.instant_of_local('try_cast(iso as timestamp)', zone)) }}
        end
    )[1]
{%- endmacro %}


{# A text of a declared format as an instant. #}
{% macro formatted_time(text, format, pattern, zone=none) -%}
    {%- set time = 'try_strptime(' ~ text ~ ', ' ~ millrace.literal(format) ~ ')' -%}
    case when regexp_full_match({{ text }}, {{ millrace.literal(pattern) }}) then
        {{ millrace.of_our_years(time if '%z' in format else millrace.instant_of_local(time, zone)) }}
    end
{%- endmacro %}


{#
  A local time as an instant: of a zone, else UTC. Null for an hour that the zone's clocks skip, and for one that they show
  twice: which of the two was meant is not known.
#}
{% macro instant_of_local(local, zone=none) -%}
    {%- if not zone -%}
        timezone('UTC', {{ local }})
    {%- else -%}
        {#- The instants that the offsets of a day before and a day after give; one counts if the zone's clock shows it as sent. -#}
        {%- set at = "timezone('UTC', shown)" -%}
        {%- set candidates = [] -%}
        {%- for near in (at ~ ' - interval 24 hours', at ~ ' + interval 24 hours') -%}
            {%- do candidates.append(
                at ~ " - (timezone('" ~ zone ~ "', " ~ near ~ ") - timezone('UTC', " ~ near ~ "))"
            ) -%}
        {%- endfor -%}
        list_transform(
            [{{ local }}],
            lambda shown: list_transform(
                [list_filter(list_distinct([{{ candidates | join(', ') }}]), lambda instant: timezone('{{ zone }}', instant) = shown)],
                lambda found: case when length(found) = 1 then found[1] end
            )[1]
        )[1]
    {%- endif -%}
{%- endmacro %}


{% macro of_our_years(instant) -%}
    list_filter(
        [{{ instant }}],
        lambda instant: instant >= timestamptz '0001-01-01 00:00:00+00' and instant <= timestamptz '9999-12-31 23:59:59.999999+00'
    )[1]
{%- endmacro %}


{# A text as a literal of SQL. #}
{% macro literal(text) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro %}
