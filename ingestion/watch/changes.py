"""SQL for what identifies a change of an enveloped stream, near enough to compare what raw holds of it.

What staging shows of it: orchestration/dbt/package/macros/debezium.sql.
"""

from collections.abc import Iterable

from ingestion.declare.paths import json_path
from ingestion.watch.sql_text import literal

_POSITION = (
    "lsn", "file", "pos", "row", "commit_lsn", "change_lsn", "event_serial_no", "scn", "rs_id", "ssn", "ord",
)  # fmt: skip
_PAYLOAD = "case when json_valid(payload) then payload end"
_KEY = "case when json_valid(event_key) then event_key end"
_OP = f"coalesce(json_extract_string({_PAYLOAD}, '$.payload.op'), json_extract_string({_PAYLOAD}, '$.op'))"


def value_of_row(steps: tuple[str | int, ...]) -> str:
    """A value of the row that changed: after the change, else before it, else of the key.

    Args:
        steps: Keys and indices within the row.
    """
    forms: tuple[tuple[str, ...], ...] = (("payload",), ())
    places = [json_path((*form, state, *steps)) for state in ("after", "before") for form in forms]
    return _first([*((_PAYLOAD, place) for place in places), *_places_in_key(steps)])


def value_of_key(steps: tuple[str | int, ...]) -> str:
    """A value of the key, which may have a schema round it."""
    return _first(_places_in_key(steps))


def _places_in_key(steps: tuple[str | int, ...]) -> list[tuple[str, str]]:
    return [(_KEY, json_path(("payload", *steps))), (_KEY, json_path(steps))]


def which_change() -> str:
    """The change's place in the source's log, and what it did."""
    parts = [
        _first([(_PAYLOAD, f"$.payload.source.{part}"), (_PAYLOAD, f"$.source.{part}")]) for part in _POSITION
    ]
    moment = _first([(_PAYLOAD, "$.payload.source.ts_ms"), (_PAYLOAD, "$.source.ts_ms")])
    place = f"concat_ws('/', {', '.join(parts)}, case when {parts[-1]} is not null then {moment} end)"
    return f"coalesce(nullif({place}, ''), position::varchar) || {_OP}"


def contents_of_change() -> str:
    """What the change did, without when it was captured."""
    states = (
        _first([(_PAYLOAD, f"$.payload.{state}"), (_PAYLOAD, f"$.{state}")]) for state in ("before", "after")
    )
    return f"concat_ws(chr(31), {_OP}, {', '.join(states)})"


def _first(places: Iterable[tuple[str, str]]) -> str:
    texts = [f"json_extract_string({column}, {literal(path)})" for column, path in places]
    return f"coalesce({', '.join(texts)})"


def part_of_envelope(name: str) -> str:
    """A column that an envelope gives, where it is a part of a business id."""
    if name.startswith("ce_"):
        return attribute(name.removeprefix("ce_"))
    schema, table = (
        _first([(_PAYLOAD, f"$.payload.source.{part}"), (_PAYLOAD, f"$.source.{part}")])
        for part in ("schema", "table")
    )
    return f"concat_ws('.', {schema}, {table})" if name == "source_table" else "null::varchar"


_AMQP = ("cloudEvents:", "cloudEvents_", "ce-")


def attribute(name: str) -> str:
    """An attribute of a CloudEvent."""
    pairs = "try(from_json(json_extract(headers, '$.user_properties'), '[[\"VARCHAR\"]]'))"
    places = (f'"ce_{name}"', f'"ce-{name}"', *(f'"headers"."{p}{name}"' for p in _AMQP))
    beside = _first([("headers", f"$.{place}") for place in places])
    within = _first([(_PAYLOAD, f"$.{name}")])
    return f"coalesce({beside}, list_filter({pairs}, lambda pair: pair[1] = '{name}')[1][2], {within})"


def single_events(rows: str) -> str:
    """Rows of raw with each CloudEvent of a batch as a row, as staging has them."""
    is_batch = f"coalesce(json_array_length({_PAYLOAD}) > 0 and {attribute('specversion')} is null, false)"
    return f"""(
        select
            * exclude (event_id, payload, events, number),
            case when is_batch then event_id || '#' || number else event_id end as event_id,
            element as payload
        from (
            select *, unnest(events) as element, unnest(range(1, length(events) + 1)) as number
            from (
                select
                    *,
                    case
                        when is_batch then json_extract(payload, '$[*]')::varchar [] else [payload]
                    end as events
                from (select *, {is_batch} as is_batch from {rows}) as sorted_out
            ) as listed
        ) as single
    )"""
