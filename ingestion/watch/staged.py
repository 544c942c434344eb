"""What staging could not type, and what it had to decide, in a stream's newest hour: counted, with examples.

How staging types a value is SQL of the dbt package. A whole stream is counted in recount.py.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from ingestion.declare.paths import WHOLE_PAYLOAD
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.raw_events import events_of, field_text

_WINDOW = timedelta(hours=1)
_WORST = 5
_SHOWN_CHARACTERS = 60
_NEWEST = 'select max(ingested_at) from staging."stg_{stream}"'
_COUNTS = """
with events as (
    select event_id, cast_errors from staging."stg_{stream}" where ingested_at > ?
)

select null, count(*), count(*) filter (where len(cast_errors) > 0), null from events
union all
select field, null, count(*), max(event_id)
from (select unnest(cast_errors) as field, event_id from events where len(cast_errors) > 0) as errors
group by field
"""
_VALUE = """
select {value} from {events} where ingested_at > ? and event_id = ?
"""
_AHEAD = """
select
    count(*), count(clock_ahead_seconds), max(clock_ahead_seconds),
    max_by(event_id, row(clock_ahead_seconds, event_id)) filter (where clock_ahead_seconds is not null)
from staging."stg_{stream}"
where ingested_at > ?
"""
_CONFLICTS = """
select count(*), max_by(event_id, found_at), max_by(first_event_id, found_at), max_by(business_id, found_at)
from raw._conflicts
where table_name = ? and found_at > ?
"""


@dataclass(frozen=True)
class FieldErrors:
    """A field's values that are not of its type.

    Attributes:
        field: Its name; `payload` where the JSON cannot be read at all.
        errors: Events whose value is not of the type.
        event_id: One of them.
        value: What was sent there, cut.
    """

    field: str
    errors: int
    event_id: str
    value: str


@dataclass(frozen=True)
class CastErrors:
    """What a stream's newest hour holds.

    Attributes:
        events: Events of staging.
        errors: Of these, events with a value that is not of its type.
        fields: The fields concerned, the worst first, a few at most.
    """

    events: int = 0
    errors: int = 0
    fields: tuple[FieldErrors, ...] = ()

    @property
    def share(self) -> float:
        """The share of events with an error, 0 to 1."""
        return self.errors / self.events if self.events else 0.0

    @property
    def worst_share(self) -> float:
        """The same of the worst field."""
        return self.fields[0].errors / self.events if self.fields else 0.0


@dataclass(frozen=True)
class Conflicts:
    """Deliveries with the business id of another one and another payload.

    Attributes:
        conflicts: How many, of the newest hour.
        event_id: The newest.
        first_event_id: The one that has its id.
        business_id: That id.
    """

    conflicts: int = 0
    event_id: str = ""
    first_event_id: str = ""
    business_id: str = ""


@dataclass(frozen=True)
class ClockAhead:
    """Events whose time lies after their receipt, by more than their stream tolerates.

    Attributes:
        events: Events of staging in the stream's newest hour.
        ahead: Of these, events whose time was not believed.
        most_seconds: By how much it lies after the receipt, at most.
        event_id: The event of which it does.
    """

    events: int = 0
    ahead: int = 0
    most_seconds: float = 0.0
    event_id: str = ""


def count_cast_errors(lake: Lake, stream: Stream) -> CastErrors:
    """Count what did not fit its type in the newest hour of a stream; its staging table exists."""
    newest = _newest(lake, stream)
    if newest is None:
        return CastErrors()
    since = newest - _WINDOW
    rows = lake.query(_COUNTS.format(stream=stream.name), [since])
    (events, errors) = next((int(row[1]), int(row[2])) for row in rows if row[0] is None)
    worst = sorted((row for row in rows if row[0] is not None), key=lambda row: (-row[2], row[0]))[:_WORST]
    fields = tuple(
        FieldErrors(name, int(count), example, _value(lake, stream, name, example, since))
        for name, _, count, example in worst
    )
    return CastErrors(events, errors, fields)


def count_conflicts(lake: Lake, stream: Stream) -> Conflicts:
    """Count the conflicts that were noticed in the hour before the newest event of a stream."""
    newest = _newest(lake, stream)
    if newest is None:
        return Conflicts()
    if ("raw", "_conflicts") not in lake.tables():
        return Conflicts()  # a lake of an earlier release that nothing was landed in since
    found = lake.query(_CONFLICTS, [f"staging.stg_{stream.name}", newest - _WINDOW])[0]
    return Conflicts(*found) if found[0] else Conflicts()


def count_clock_ahead(lake: Lake, stream: Stream) -> ClockAhead:
    """Count the events of a stream's newest hour whose time was not believed."""
    newest = _newest(lake, stream)
    if newest is None:
        return ClockAhead()
    try:
        events, ahead, most, event_id = lake.query(_AHEAD.format(stream=stream.name), [newest - _WINDOW])[0]
    except duckdb.BinderException:  # the table is of an earlier release, and its project builds none again
        return ClockAhead()
    return ClockAhead(events, ahead, most, event_id) if ahead else ClockAhead(events)


def _newest(lake: Lake, stream: Stream) -> datetime | None:
    newest: datetime | None = lake.query(_NEWEST.format(stream=stream.name))[0][0]  # from the catalog
    return newest


def _value(lake: Lake, stream: Stream, name: str, event_id: str, since: datetime) -> str:
    """What an event holds where a field is, as text."""
    spec = stream.fields.get(name)
    value = "payload"
    if stream.elements is not None:
        value = "coalesce(payload::varchar, enclosing)"
    if (
        spec is not None
        and spec.path != WHOLE_PAYLOAD
        and not (spec.path and stream.envelope == "cloudevents")
    ):
        value = field_text(spec, stream, function="json_extract")
    sql = _VALUE.format(events=events_of(stream), value=f"({value})::varchar")
    rows = lake.query(sql, [since - _WINDOW, event_id])
    text = " ".join(str(rows[0][0]).split()) if rows else ""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
