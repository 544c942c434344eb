"""Times finer than a microsecond, of which staging cuts digits off: the fields, and the texts that were sent.

The SQL that decides is beside that which types times (casts.py).
"""

from collections.abc import Sequence

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.raw_events import events_of, field_text, message_id
from orchestration.dbt.casts import is_cut_time
from orchestration.dbt.meta import field_meta


def times_of(stream: Stream) -> list[str]:
    """The fields whose times somebody wrote; the broker's has no digits to lose."""
    return [name for name, spec in stream.fields.items() if spec.type == "timestamp" and not spec.broker_time]


def cut_time(stream: Stream, name: str) -> str:
    """SQL for whether staging cuts the text in the column of this name."""
    return is_cut_time(f'"{name}"', field_meta(stream.fields[name], stream.topic_place))


def texts_of(stream: Stream, names: Sequence[str]) -> str:
    """SQL for these fields' texts, each a column of its name."""
    return ", ".join(f'{field_text(stream.fields[name], stream)} as "{name}"' for name in names)


def cut_times(lake: Lake, stream: Stream, event_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Which times of some events staging cuts.

    Args:
        lake: The lake, which may be read-only.
        stream: Their stream, which has a table in raw.
        event_ids: As raw has them.

    Returns:
        Event id → field → the text that was sent; of an array's elements the first. Others are left out.
    """
    names = times_of(stream)
    if not names or not event_ids:
        return {}
    of_them = f'(select * from raw."{stream.name}" where event_id in (select unnest(?::varchar [])))'
    cut = ", ".join(f'case when {cut_time(stream, name)} then "{name}" end' for name in names)
    texts = f"select event_id, {texts_of(stream, names)} from {events_of(stream, of_them)}"
    found: dict[str, dict[str, str]] = {}
    for event_id, *sent in lake.query(f"select event_id, {cut} from ({texts})", [list(event_ids)]):
        for name, text in zip(names, sent, strict=True):
            if text is not None:
                found.setdefault(message_id(event_id), {}).setdefault(name, text)
    return found
