"""The events of a stream as raw holds them, for recounts: its payloads, or what each of them is parted into.

Near enough to compare: numbers are not read digit by digit here. Staging's own SQL is in the dbt package.
"""

import re

from ingestion.declare.fields import FieldSpec
from ingestion.declare.paths import json_path
from ingestion.declare.stream import Stream
from ingestion.watch.changes import attribute, single_events, value_of_row
from ingestion.watch.origins import text_beside
from ingestion.watch.sql_text import literal

_ELEMENTS = """(
    select
        * exclude (event_id, payload, elements, found, element, index),
        payload as enclosing,
        element as payload,
        case when found = 0 then event_id else event_id || '#' || index end as event_id
    from (
        select
            *,
            unnest(case when found = 0 then [null::json] else elements end) as element,
            unnest(case when found = 0 then [0] else range(found) end) as index
        from (
            select *, coalesce(len(elements), 0) as found
            from (
                select *, json_extract(try(json_extract(payload, {path})), '$[*]') as elements
                from {rows}
                where payload is not null
            )
        )
    )
)"""
_MESSAGE = re.compile(r"#\d+$")
MESSAGE_ID = "regexp_replace(event_id, '#[0-9]+$', '')"
"""SQL for the message that an event of staging is from."""


def message_id(event_id: str) -> str:
    """The message that an event of staging is from: its id without the index of an element."""
    return _MESSAGE.sub("", event_id)


def events_of(stream: Stream, rows: str = "") -> str:
    """SQL for a stream's events, with the columns of raw; elements have what encloses them, too.

    Args:
        stream: The stream.
        rows: SQL of what has the columns of raw; its raw table by default.
    """
    rows = rows or f'raw."{stream.name}"'
    if stream.elements is not None:
        return _ELEMENTS.format(rows=rows, path=literal(json_path(stream.elements.steps)))
    if stream.envelope == "cloudevents":
        is_event = f"payload is not null or {attribute('specversion')} is not null"
        return f"(select * from {single_events(rows)} where {is_event})"
    return f"(select * from {rows} where payload is not null)"


def field_text(spec: FieldSpec, stream: Stream, *, function: str = "json_extract_string") -> str:
    """SQL for the text of a field of an event; null where it cannot be read.

    Args:
        spec: The field.
        stream: Its stream.
        function: What takes it out of JSON.
    """
    if spec.place is None:
        return text_beside(spec, stream)
    if stream.envelope == "debezium":
        return value_of_row(spec.place.steps)
    column = "enclosing" if spec.place.encloses else "payload"
    path = literal(json_path(spec.place.steps))
    return f"{function}(case when json_valid({column}) then {column} end, {path})"
