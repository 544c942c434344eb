"""The first models of a new stream: staging, a mart by the hour, and what the mart promises."""

import re
from pathlib import Path

from ingestion.declare.stream import Stream
from orchestration.scaffold.schemas import CONTRACT_LINE

_MEASURES = 5
"""How many number fields the mart summarises; more are for its owner to add."""
_MEASURE = re.compile(r"double|decimal\(\d+, ?[1-9]\d*\)")
"""Whole numbers are mostly names and counts, of which an average says nothing."""

_MART = """\
{{{{ config(materialized='incremental', unique_key='hour_at') }}}}

{{%- set events = ref('stg_{stream}') -%}}
{{%- set after = watermark(this) -%}}
{{%- set is_new = 'batch_id > ' ~ after ~ ' and ' ~ up_to_now(events, after) %}}

-- A late event opens its hour again: an hour that a new batch touches is counted from all of its events.
with touched as (
    select distinct date_trunc('hour', event_at) as hour_at
    from {{{{ events }}}}
    where {{{{ is_new }}}}
),

-- Only the files of these hours are read.
candidates as (
    {{{{ within(events, 'event_at', time_ranges(events, 'event_at', where=is_new, margin_minutes=60)) }}}}
),

final as (
    select
        touched.hour_at,
        count(*) as events,
{measures}        max(candidates.batch_id) as batch_id
    from candidates
    inner join touched on date_trunc('hour', candidates.event_at) = touched.hour_at
    group by touched.hour_at
)

select * from final
"""


def mart_name(stream: str) -> str:
    """The name of the first mart."""
    return f"{stream}_by_hour"


def new_files(stream: Stream, *, mart: bool) -> dict[Path, str]:
    """Files of a new stream, below the dbt project.

    Args:
        stream: The stream.
        mart: Whether it gets a mart and its contract.
    """
    files = {Path("models", "staging", f"stg_{stream.name}.sql"): f"{{{{ staging('{stream.name}') }}}}\n"}
    if mart:
        name = mart_name(stream.name)
        files[Path("models", "marts", f"{name}.sql")] = _mart(stream)
        files[Path("contracts", f"{name}.yml")] = _contract(stream)
    return files


def _measures(stream: Stream) -> list[str]:
    numbers = [name for name, field in stream.fields.items() if _MEASURE.fullmatch(field.type)]
    return numbers[:_MEASURES]


def _mart(stream: Stream) -> str:
    columns = [
        f"        {call} as {name}_{suffix},\n"
        for name in _measures(stream)
        for suffix, call in (
            ("avg", f"round(avg(candidates.{name}), 3)"),
            ("min", f"min(candidates.{name})"),
            ("max", f"max(candidates.{name})"),
        )
    ]
    return _MART.format(stream=stream.name, measures="".join(columns))


def _contract(stream: Stream) -> str:
    columns = [
        "  - name: hour_at\n    data_type: timestamp with time zone\n    checks:\n"
        "      - missing:\n      - duplicate:\n",
        "  - name: events\n    data_type: bigint\n    checks:\n"
        "      - missing:\n      - invalid: {valid_min: 1}\n",
    ]
    for name in _measures(stream):
        kind = stream.fields[name].type.partition("(")[0]
        for suffix in ("avg", "min", "max"):
            columns.append(
                f"  - name: {name}_{suffix}\n    data_type: {'double' if suffix == 'avg' else kind}\n"
            )
    columns.append("  - name: batch_id\n    data_type: bigint\n    checks:\n      - missing:\n")
    name = mart_name(stream.name)
    return (
        f"{CONTRACT_LINE}# What {name} promises; a breach shows in the web UI and in `millrace status`.\n"
        f"dataset: lake/marts/{name}\nchecks:\n  - schema: {{allow_other_column_order: true}}\n"
        f"columns:\n{''.join(columns)}"
    )
