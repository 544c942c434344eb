"""Declared fields that most events of a stream had and that newer ones lack: the key is gone, or renamed.

Staging cannot name such a field, since null is what it shows of a key that is not there. DuckLake's catalog
knows how many values of a column each file has, so that tables are read only where a field may be missed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher

from ingestion.declare.paths import json_path
from ingestion.declare.stream import Stream
from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import Lake
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.watch.raw_events import events_of, field_text
from ingestion.watch.sql_text import literal

FEWEST_EVENTS = 100
"""So many events without a field, and so many before them, say something; fewer may be chance."""
FEWEST_BATCHES = 3
"""One odd batch says nothing."""
SHARE_OF_REGULAR = 0.5
"""A field that fewer of the events before had is optional, and not missed."""
_LOOKED_AT = 1_000
_HELD = f"""
with the_table as (
    select table_id
    from {METADATA_SCHEMA}.ducklake_table
    inner join {METADATA_SCHEMA}.ducklake_schema using (schema_id)
    where ducklake_table.end_snapshot is null and ducklake_schema.end_snapshot is null
        and schema_name = 'staging' and table_name = '{{table}}'
),

stats as (
    select data_file_id, column_name, record_count, value_count, min_value, max_value
    from {METADATA_SCHEMA}.ducklake_data_file
    inner join {METADATA_SCHEMA}.ducklake_file_column_stats using (data_file_id, table_id)
    inner join {METADATA_SCHEMA}.ducklake_column using (column_id, table_id)
    where table_id in (select table_id from the_table)
        and ducklake_data_file.end_snapshot is null and ducklake_column.end_snapshot is null
),

files as (
    select data_file_id, min_value::bigint as first_batch, max_value::bigint as last_batch
    from stats
    where column_name = 'batch_id'
),

held as (
    select column_name, max(last_batch) as last_batch
    from stats
    inner join files using (data_file_id)
    where value_count > 0
    group by column_name
)

select
    column_name,
    min(first_batch) filter (where files.last_batch = held.last_batch and value_count > 0) as first_batch,
    max(held.last_batch) as last_batch,
    max(files.last_batch) as newest_batch,
    sum(
        case when files.last_batch > held.last_batch then record_count
            when files.last_batch = held.last_batch then record_count - value_count
            else 0 end
    )::bigint as events_since_at_most,
    sum(record_count)::bigint as events,
    sum(value_count)::bigint as values
from stats
inner join files using (data_file_id)
inner join held using (column_name)
group by column_name
"""
_COUNT = 'select {counts} from staging."stg_{stream}" where batch_id > ?'
_LAST = """
select max(batch_id), max_by(ingested_at, batch_id)
from staging."stg_{stream}"
where "{field}" is not null and batch_id between ? and ?
"""
_PLACES = "select {values} from (select * from {events} limit {limit}) as looked_at"
_KEYS = """
select key, count(*) as events
from (
    select unnest(json_keys(case when json_valid({column}) then {column} end, {path})) as key
    from (select * from {events} limit {limit}) as looked_at
)
group by key
"""


@dataclass(frozen=True)
class Missing:
    """A field that is missed.

    Attributes:
        field: Its name.
        events: Events that came without it since it was last there.
        share: Of the events before, the share that had it, 0 to 1.
        last_at: When the last event that had it was read, UTC.
        new_key: A key that is new since then, the likely name; empty without.
    """

    field: str
    events: int
    share: float
    last_at: datetime
    new_key: str = ""


@dataclass(frozen=True)
class _Held:
    """What the catalog knows of a column: the batches of the newest file with a value, and how many values.

    A file of many batches does not say in which of them the last value is.
    """

    first_batch: int
    last_batch: int
    newest_batch: int
    events_since_at_most: int
    events: int
    values: int


def is_missed(*, events_since: int, batches_since: int, events_before: int, share: float) -> bool:
    """Whether a field is missed: the rule.

    Args:
        events_since: Events without it since it was last there.
        batches_since: Their batches.
        events_before: Events before that.
        share: The share of these that had it.
    """
    return (
        min(events_since, events_before) >= FEWEST_EVENTS
        and batches_since >= FEWEST_BATCHES
        and share >= SHARE_OF_REGULAR
    )


def missing_fields(lake: Lake, stream: Stream) -> tuple[Missing, ...]:
    """The fields of a stream that are missed; its staging table exists."""
    sql = asked_of_catalog(_HELD.format(table=f"stg_{stream.name}"))
    known = {name: _Held(*map(int, counts)) for name, *counts in lake.query(sql) if name in stream.fields}
    doubted = sorted(name for name, held in known.items() if held.events_since_at_most >= FEWEST_EVENTS)
    if not doubted:
        return ()
    before_newest = known[doubted[0]].newest_batch - FEWEST_BATCHES
    recent = _counts(lake, stream, [f'count("{name}")' for name in doubted], after=before_newest)
    gone = [name for name, values in zip(doubted, recent, strict=True) if not values]
    newest = _batches(stream, before_newest + 1, before_newest + FEWEST_BATCHES)
    there = _present(lake, stream, newest, gone)
    found = (_missing(lake, stream, name, known[name], newest) for name in gone if name not in there)
    return tuple(each for each in found if each is not None)


def _counts(lake: Lake, stream: Stream, counts: Collection[str], *, after: int) -> tuple[int, ...]:
    """Counts over what staging has of newer batches."""
    row = lake.query(_COUNT.format(counts=", ".join(counts), stream=stream.name), [after])[0]
    return tuple(map(int, row))


def _batches(stream: Stream, first: int, last: int) -> str:
    rows = f'(select * from raw."{stream.name}" where batch_id between {first} and {last})'
    return events_of(stream, rows)


def _present(lake: Lake, stream: Stream, events: str, names: Collection[str]) -> set[str]:
    """The fields that events have something in, be it of a wrong type or null: others report that."""
    if not names:
        return set()
    values = ", ".join(
        f"count({field_text(stream.fields[name], stream, function='json_type')})" for name in names
    )
    counts = lake.query(_PLACES.format(values=values, events=events, limit=_LOOKED_AT))[0]
    return {name for name, count in zip(names, counts, strict=True) if count}


def _missing(lake: Lake, stream: Stream, name: str, held: _Held, newest: str) -> Missing | None:
    """A field that none of the newest batches has, if it is missed."""
    last = _LAST.format(stream=stream.name, field=name)
    last_batch, last_at = lake.query(last, [held.first_batch, held.last_batch])[0]
    if last_batch is None:  # its last values were replaced meanwhile
        return None
    (since,) = _counts(lake, stream, ["count(*)"], after=last_batch)
    before = max(held.events - since, held.values)
    share = held.values / before
    batches = held.newest_batch - last_batch
    if not is_missed(events_since=since, batches_since=batches, events_before=before, share=share):
        return None
    new = _new_keys(lake, stream, name, _batches(stream, last_batch, last_batch), newest)
    return Missing(name, since, share, last_at, new)


def _new_keys(lake: Lake, stream: Stream, name: str, before: str, newest: str) -> str:
    """The undeclared key of the field's object that is new: of those in most events the most similar."""
    place = stream.fields[name].place
    if place is None or not place.steps or not isinstance(place.steps[-1], str) or stream.envelope:
        return ""
    former_key, steps = place.steps[-1], place.steps[:-1]
    column = "enclosing" if place.encloses else "payload"
    then, now = (
        dict(
            lake.query(
                _KEYS.format(column=column, path=literal(json_path(steps)), events=events, limit=_LOOKED_AT)
            )
        )
        for events in (before, newest)
    )
    places = [spec.place for spec in stream.fields.values() if spec.place is not None]
    declared = {
        each.steps[len(steps)]
        for each in places
        if len(each.steps) > len(steps) and each.steps[: len(steps)] == steps
    }
    new = {key: count for key, count in now.items() if key not in then and key not in declared}
    return max(
        new, key=lambda key: (new[key], SequenceMatcher(None, former_key, key).ratio(), key), default=""
    )
