"""What runs have cost in each hour: summed from Dagster's events and kept, before old runs take them along.

Two tables of Millrace's beside Dagster's own hold the sums. They are read by cost_history.py.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import DagsterInstance
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from orchestration.records.costs import RECORDED, Cost, cost_of, summed

_PAGE, _MOST_PAGES = 5_000, 40
_UNSETTLED = 1_000
_KEPT_FOR = timedelta(days=90)
_MAKE = """
create schema if not exists millrace;
create table if not exists millrace.costs (
    hour timestamptz not null,
    kind text not null,
    name text not null,
    times bigint not null,
    cpu_seconds double precision not null,
    events bigint not null,
    primary key (hour, kind, name)
);
create table if not exists millrace.costs_kept (
    is_one boolean primary key check (is_one),
    upto bigint not null
);
insert into millrace.costs_kept values (true, 0) on conflict do nothing
"""
# The newest events wait: one with a lower number may be committed after one with a higher.
_NEXT = (
    "select id, timestamp, dagster_event_type, event from event_logs "
    f"where {RECORDED} and id > %s and id <= (select coalesce(max(id), 0) - %s from event_logs) "
    "order by id limit %s"
)
# One statement, so that a sum is added once however it ends, and by one of two who add it at the same time.
_ADD = """
with moved as (update millrace.costs_kept set upto = %s where upto = %s returning upto)
insert into millrace.costs as kept
select page.* from moved, unnest(
    %s::timestamptz[], %s::text[], %s::text[], %s::bigint[], %s::float8[], %s::bigint[]
) as page
on conflict (hour, kind, name) do update
set times = kept.times + excluded.times, cpu_seconds = kept.cpu_seconds + excluded.cpu_seconds,
    events = kept.events + excluded.events
"""


def keep_costs(instance: DagsterInstance, *, unsettled: int = _UNSETTLED) -> int:
    """Add what was recorded since the last time to the sums, 200,000 events at most; sums of 90 days stay.

    Args:
        instance: Dagster's instance.
        unsettled: How many of the newest events wait for the next time.

    Returns:
        How many events were read; 0 where Dagster's records are not in PostgreSQL, as Millrace's are.
    """
    storage, read = instance.event_log_storage, 0
    if not isinstance(storage, SqlEventLogStorage):
        return read
    with storage.index_connection() as connection:
        if connection.dialect.name != "postgresql":
            return read
        connection.exec_driver_sql(_MAKE)
        for _ in range(_MOST_PAGES):
            (upto,) = connection.exec_driver_sql("select upto from millrace.costs_kept").one()
            rows = connection.exec_driver_sql(_NEXT, (upto, unsettled, _PAGE)).fetchall()
            if not rows:
                break
            connection.exec_driver_sql(_ADD, (rows[-1][0], upto, *_columns(rows)))
            read += len(rows)
        oldest = datetime.now(UTC) - _KEPT_FOR
        connection.exec_driver_sql("delete from millrace.costs where hour < %s", (oldest,))
    return read


def _columns(rows: Sequence[Any]) -> list[list[Any]]:
    """The sums of a page's hours, by column."""
    by_hour: dict[datetime, list[Cost]] = {}
    for _, at, event_type, text in rows:
        cost = cost_of(event_type, text)
        if cost is not None:
            by_hour.setdefault(at.replace(minute=0, second=0, microsecond=0, tzinfo=UTC), []).append(cost)
    sums = [
        (hour, cost.kind, cost.name, cost.times, cost.cpu_seconds, cost.events)
        for hour, costs in by_hour.items()
        for cost in summed(costs)
    ]
    return [list(column) for column in zip(*sums, strict=True)] if sums else [[]] * 6
