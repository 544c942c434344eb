{#
  From runs to lives and gaps. `runs` and `specs` are names of relations; `specs` has a row for each stream that declares a sequence.

  A sender's *life* begins again where its counter does. In time order, a number below the one before it is a restart if it is `start`
  (of a counter that wraps: if it is not within `reorder`), or lower by more than `reorder`; else it is late. What is missing is what a life lacks between its lowest and its highest
  number, and after a restart from `start` on.
#}
{% macro sequence_lives(runs, specs) -%}
    select
        *,
        first_place + steps as last_place,
        max(first_place + steps) over (
            partition by stream, sender, life order by first_at, first_index, last_at, last_index
            rows between unbounded preceding and 1 preceding
        ) as highest_before
    from (
        select
            *,
            (sum(case when is_restart then first_index else distance + former_steps end) over (
                partition by stream, sender, life order by first_at, first_index, last_at, last_index
            ))::bigint as first_place
        from (
            select
                *,
                count(*) filter (where is_restart) over (
                    partition by stream, sender order by first_at, first_index, last_at, last_index
                    rows unbounded preceding
                ) as life
            from (
                select
                    *,
                    distance is null
                    or distance < -reorder
                    or (has_start and first_index = 0 and (case when size = 0 then distance < 0 else distance > reorder end))
                    as is_restart
                from (
                    select *, {{ millrace.sequence_distance('former_index', 'first_index', 'size') }} as distance
                    from (
                        select
                            runs.* exclude (batch_id, ingested_at),
                            specs.* exclude (stream),
                            lag(last_index) over in_time as former_index,
                            lag(steps) over in_time as former_steps,
                            lag(last_at) over in_time as former_at
                        from {{ runs }} as runs
                        inner join {{ specs }} as specs on runs.stream = specs.stream
                        where kind = 'run'
                        window in_time as (
                            partition by runs.stream, sender order by first_at, first_index, last_at, last_index
                        )
                    ) as neighbours
                ) as measured
            ) as judged
        ) as numbered
    ) as placed
{%- endmacro %}


{# The lives' runs in the order of their numbers, with how far the numbers before reach. #}
{% macro sequence_reach(lives) -%}
    select
        *,
        max(last_place) over (
            partition by stream, sender, life order by first_place, first_at, first_index, last_at
            rows between unbounded preceding and 1 preceding
        ) as reach,
        coalesce(
            max(last_at) over (
                partition by stream, sender, life order by first_place, first_at, first_index, last_at
                rows between unbounded preceding and 1 preceding
            ),
            former_at
        ) as before_at,
        min(first_ingested_at) over (
            partition by stream, sender, life order by first_place, first_at, first_index, last_at
            rows between current row and unbounded following
        ) as known_at
    from {{ lives }}
{%- endmacro %}


{# The places of numbers that are missing. #}
{% macro sequence_missing(reached) -%}
    select
        stream, sender, life, size, base, step,
        coalesce(reach + 1, 0) as first_place, first_place - 1 as last_place,
        before_at as last_before_at, first_at as first_after_at, known_at as opened_at
    from {{ reached }}
    where first_place > reach + 1 or (reach is null and life > 1 and has_start and first_place > 0)
{%- endmacro %}


{# A place or index as the number that was sent. #}
{% macro sequence_number(place) -%}
    base + (case when size = 0 then {{ place }} else ({{ place }} % size + size) % size end) * step
{%- endmacro %}


{# The declared sequences as rows. #}
{% macro sequence_specs(sequences) -%}
    {%- for stream, spec in sequences.items() %}
    select
        '{{ stream }}' as stream, {{ spec.base }}::bigint as base, {{ spec.step }}::bigint as step,
        {{ spec.size }}::bigint as size, {{ spec.reorder }}::bigint as reorder,
        {{ 'true' if spec.has_start else 'false' }} as has_start
    {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# What both questions begin with: how senders number, their lives, and how far each came (`reached`). #}
{% macro sequence_lives_reached(runs, sequences) -%}
specs as (
    {{- millrace.sequence_specs(sequences) }}
),

lives as (
    {{ millrace.sequence_lives(runs, 'specs') }}
),

reached as (
    {{ millrace.sequence_reach('lives') }}
)
{%- endmacro %}


{# All gaps: those that are open, and what came late. `accepted` names the table of gaps that an operator has accepted. #}
{% macro sequence_gaps(runs, sequences, accepted) -%}
with {{ millrace.sequence_lives_reached(runs, sequences) }},

missing as (
    {{ millrace.sequence_missing('reached') }}
),

filled as (
    select
        runs.stream, sender, size, base, step, first_index as first_place, last_index as last_place,
        first_at as last_before_at, last_at as first_after_at, first_ingested_at as opened_at, ingested_at as filled_at
    from {{ runs }} as runs
    inner join specs on runs.stream = specs.stream
    where kind = 'fill'
    union all
    select
        stream, sender, size, base, step, first_place, last_place, first_at, last_at, known_at, first_ingested_at
    from reached
    where last_place < highest_before and (reach is null or first_place > reach) and known_at < first_ingested_at
),

gaps as (
    select
        stream, sender, {{ millrace.sequence_number('first_place') }} as first_number,
        {{ millrace.sequence_number('last_place') }} as last_number, last_place - first_place + 1 as numbers,
        last_before_at, first_after_at, opened_at, null::timestamptz as filled_at, step
    from missing
    union all
    select
        stream, sender, {{ millrace.sequence_number('first_place') }}, {{ millrace.sequence_number('last_place') }},
        last_place - first_place + 1, last_before_at, first_after_at, opened_at, filled_at, step
    from filled
),

acceptances as (
    select stream, sender, max(opened_until) as opened_until, max_by(note, opened_until) as note
    from {{ accepted }}
    group by stream, sender
),

final as (
    select
        gaps.stream,
        gaps.sender,
        gaps.first_number,
        gaps.last_number,
        gaps.numbers,
        case when gaps.filled_at is null then gaps.numbers else 0 end as missing,
        case
            when gaps.filled_at is not null then 'filled'
            when gaps.opened_at <= greatest(one.opened_until, everyone.opened_until) then 'accepted'
            when filled_before.numbers is not null or filled_after.numbers is not null then 'partly'
            else 'open'
        end as state,
        gaps.last_before_at,
        gaps.first_after_at,
        gaps.opened_at,
        gaps.filled_at,
        case when gaps.filled_at is null and gaps.opened_at <= greatest(one.opened_until, everyone.opened_until)
            then case when gaps.opened_at <= one.opened_until then one.note else everyone.note end
        end as note
    from gaps
    left join acceptances as one on gaps.stream = one.stream and gaps.sender = one.sender
    left join acceptances as everyone on gaps.stream = everyone.stream and everyone.sender is null
    left join (select distinct on (stream, sender, last_number) * from gaps where filled_at is not null) as filled_before
        on gaps.filled_at is null and gaps.stream = filled_before.stream and gaps.sender = filled_before.sender
            and filled_before.last_number + gaps.step = gaps.first_number
    left join (select distinct on (stream, sender, first_number) * from gaps where filled_at is not null) as filled_after
        on gaps.filled_at is null and gaps.stream = filled_after.stream and gaps.sender = filled_after.sender
            and filled_after.first_number - gaps.step = gaps.last_number
)

select * from final
{%- endmacro %}


{# What each sender has sent, and what it lacks. #}
{% macro sequence_totals(runs, sequences) -%}
with {{ millrace.sequence_lives_reached(runs, sequences) }},

gaps as (
    select stream, sender, life, sum(last_place - first_place + 1) as missing
    from ({{ millrace.sequence_missing('reached') }}) as missing
    group by stream, sender, life
),

per_life as (
    select
        reached.stream, reached.sender, reached.life,
        max(last_place) - min(least(first_place, case when reached.life > 1 and has_start then 0 else first_place end)) + 1 as expected,
        coalesce(max(gaps.missing), 0) as missing,
        sum(events) as events,
        coalesce(sum(events) filter (where last_place < highest_before), 0) as late,
        min(first_at) as first_at, max(last_at) as last_at,
        arg_max({{ millrace.sequence_number('last_index') }}, (last_at, last_index)) as last_number
    from reached
    left join gaps on reached.stream = gaps.stream and reached.sender = gaps.sender and reached.life = gaps.life
    group by reached.stream, reached.sender, reached.life
),

fills as (
    select stream, sender, sum(events) as late from {{ runs }} where kind = 'fill' group by stream, sender
),

final as (
    select
        per_life.stream,
        per_life.sender,
        arg_max(last_number, life)::bigint as last_number,
        least(sum(expected), 9223372036854775807)::bigint as expected,
        sum(events)::bigint as received,
        least(sum(missing), 9223372036854775807)::bigint as missing,
        (sum(events) - sum(expected) + sum(missing))::bigint as duplicates,
        (count(*) - 1)::bigint as resets,
        (sum(per_life.late) + coalesce(max(fills.late), 0))::bigint as late,
        min(first_at) as first_at,
        max(last_at) as last_at
    from per_life
    left join fills on per_life.stream = fills.stream and per_life.sender = fills.sender
    group by per_life.stream, per_life.sender
)

select * from final
{%- endmacro %}
