"""SQL for the text of a field that is not in the payload, near enough to look at and to compare.

What staging shows of it: orchestration/dbt/package/macros/origins.sql.
"""

from ingestion.declare.origins import Origin
from ingestion.declare.paths import json_path, parse_path
from ingestion.declare.stream import Stream
from ingestion.watch.changes import attribute, value_of_key
from ingestion.watch.sql_text import literal


def text_beside(origin: Origin, stream: Stream) -> str:
    """SQL over a row of raw.

    Args:
        origin: Where the field comes from; not from the payload.
        stream: Its stream.
    """
    if isinstance(origin.key, str):
        steps = parse_path(origin.key).steps
        if stream.envelope == "debezium":
            return value_of_key(steps)
        path = literal(json_path(steps))
        return f"json_extract_string(case when json_valid(event_key) then event_key end, {path})"
    if origin.key:
        return "event_key"
    if origin.topic is not None and stream.topic_place:
        place = stream.topic_place
        is_key = place.column == "event_key"
        whole = "event_key" if is_key else r"regexp_replace(source_partition, '-\d+$', '')"
        return (
            whole if origin.topic is True else f"string_split({whole}, '{place.separator}')[{origin.topic}]"
        )
    if origin.header is not None:
        name = origin.header.replace("'", "''")
        pairs = "try(from_json(json_extract(headers, '$.user_properties'), '[[\"VARCHAR\"]]'))"
        return (
            f"coalesce(json_extract_string(headers, '$.\"{name}\"'), "
            f"json_extract_string(headers, '$.headers.\"{name}\"'), "
            f"list_filter({pairs}, lambda pair: pair[1] = '{name}')[1][2])"
        )
    if origin.extension is not None:
        return attribute(origin.extension)
    return "event_time::varchar"
