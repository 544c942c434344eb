"""What each hour of a stream was like: how many events, how late, which fields were empty, how many values.

An hour is noted once, when it is over, in raw._profiles; later events of it are not counted there any more.
What is usual is reckoned from these notes (usual.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.tables import PROFILES
from ingestion.log.envelope import UTC_MICROSECONDS
from ingestion.watch.usual import HISTORY, LEARNING

_HOUR = timedelta(hours=1)
_FIRST_LOOK = LEARNING + timedelta(days=1)
_KEPT = HISTORY + timedelta(days=7)
_SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("hour", UTC_MICROSECONDS),
        ("field", pa.string()),
        ("events", pa.int64()),
        ("empty", pa.int64()),
        ("different", pa.int64()),
        ("delay_seconds", pa.float64()),
    ]
)
_COUNTED = ("varchar", "boolean", "integer", "bigint")
"""Types whose different values are worth counting: measured values differ always."""
_NOTED = f"select max(hour) from raw.{PROFILES} where stream = ?"
_FIRST = """
select min(least(coalesce(first_event_time, ingested_at), ingested_at)) from raw.batches where stream = ?
"""
_RECEIVED = "least(coalesce(event_time, ingested_at), ingested_at)"
_EVENTS = f"""
select
    date_trunc('hour', {_RECEIVED}) as hour, count(*),
    median(epoch(ingested_at) - epoch({_RECEIVED}))
from raw."{{stream}}"
where
    ingested_at >= $since::timestamptz
    and {_RECEIVED} >= $since::timestamptz and {_RECEIVED} < $until::timestamptz
group by hour
"""
_VALUES = """
select date_trunc('hour', ingested_at) as hour, count(*), {columns}
from staging."stg_{stream}"
where ingested_at >= $since::timestamptz and ingested_at < $until::timestamptz
group by hour
"""


@dataclass(frozen=True)
class Hour:
    """An hour of a stream, or of a field of it.

    Attributes:
        hour: When it began, UTC.
        events: How many events; of a field, in staging.
        empty: Of a field, how many without a value.
        different: Of a field, about how many different values; None where that is not counted.
        delay_seconds: Of a stream, the median from the broker to raw; None without events.
    """

    hour: datetime
    events: int
    empty: int = 0
    different: int | None = None
    delay_seconds: float | None = None


def note_hours(lake: Lake, stream: Stream, *, now: datetime) -> None:
    """Note the hours that are over and not noted yet; at first those of the last eight days.

    Args:
        lake: The lake; the stream has a table.
        stream: The stream.
        now: UTC.
    """
    until = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    since = _begin(lake, stream, until)
    if since is None or since >= until:
        return
    rows = [*_of_stream(lake, stream, since, until), *_of_fields(lake, stream, since, until)]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    connection = lake.connection
    connection.register("noted_hours", table)
    try:
        connection.execute("begin")
        connection.execute(f"insert into raw.{PROFILES} by name select * from noted_hours")
        connection.execute(
            f"delete from raw.{PROFILES} where stream = ? and hour < ?::timestamptz",
            [stream.name, (until - _KEPT).isoformat()],
        )
        connection.execute("commit")
    except BaseException:
        lake.close()  # also rolls back; a fresh connection cannot inherit a broken state
        raise
    connection.unregister("noted_hours")


def hours_of(lake: Lake, stream: str) -> dict[str, list[Hour]]:
    """The noted hours, the oldest first: of the stream under an empty name, and of each field.

    Args:
        lake: The lake.
        stream: The stream.
    """
    rows = lake.query(
        f"select field, hour, events, empty, different, delay_seconds from raw.{PROFILES} "
        "where stream = ? order by hour",
        [stream],
    )
    found: dict[str, list[Hour]] = {}
    for field, hour, *rest in rows:
        found.setdefault(field, []).append(Hour(hour.astimezone(UTC), *rest))
    return found


def staging_of(stream: Stream) -> tuple[str, str]:
    """Schema and name of a stream's staging model."""
    return "staging", f"stg_{stream.name}"


def _begin(lake: Lake, stream: Stream, until: datetime) -> datetime | None:
    """The first hour to note: after the last one, else the first whole hour that has events."""
    noted: datetime | None
    first: datetime | None
    ((noted,),) = lake.query(_NOTED, [stream.name])
    if noted is not None:
        return max(noted.astimezone(UTC) + _HOUR, until - _FIRST_LOOK)
    ((first,),) = lake.query(_FIRST, [stream.name])
    if first is None:
        return None
    whole = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
    return max(whole, until - _FIRST_LOOK)


def _of_stream(lake: Lake, stream: Stream, since: datetime, until: datetime) -> Iterator[dict[str, object]]:
    """A row an hour; hours without events count, too."""
    rows = _ask(lake, _EVENTS.format(stream=stream.name), since, until)
    found = {hour.astimezone(UTC): rest for hour, *rest in rows}
    hour = since
    while hour < until:
        events, delay = found.get(hour, (0, None))
        yield {
            "stream": stream.name, "hour": hour, "field": "", "events": events, "delay_seconds": delay,
        }  # fmt: skip
        hour += _HOUR


def _of_fields(lake: Lake, stream: Stream, since: datetime, until: datetime) -> Iterator[dict[str, object]]:
    """A row for each hour with events and each field; none before the staging model is built."""
    if not stream.fields or staging_of(stream) not in lake.tables():
        return
    found = lake.connection.execute(f'from staging."stg_{stream.name}" limit 0').description
    there = {column[0] for column in found}
    names = [name for name in stream.fields if name in there]
    if not names:
        return
    columns = ", ".join(f"count({_sql(name)}), {_different(stream, name)}" for name in names)
    for hour, events, *counts in _ask(
        lake, _VALUES.format(stream=stream.name, columns=columns), since, until
    ):
        for name, present, different in zip(names, counts[::2], counts[1::2], strict=True):
            yield {
                "stream": stream.name, "hour": hour, "field": name, "events": events,
                "empty": events - present, "different": different,
            }  # fmt: skip


def _different(stream: Stream, name: str) -> str:
    counted = stream.fields[name].type in _COUNTED
    return f"approx_count_distinct({_sql(name)})" if counted else "null::bigint"


def _sql(name: str) -> str:
    return f'"{name}"'


def _ask(lake: Lake, sql: str, since: datetime, until: datetime) -> list[tuple[Any, ...]]:
    parameters = {"since": since.isoformat(), "until": until.isoformat()}
    return lake.connection.execute(sql, parameters).fetchall()
