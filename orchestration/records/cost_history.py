"""What runs have cost over days: the hourly sums that upkeep keeps, and the events since."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestration.records.costs import RECORDED, Cost, Kind, cost_of, summed
from orchestration.records.reader import DagsterRecords

_PAGE, _MOST_PAGES = 5_000, 10
# One statement: upkeep may move events into the sums at the same time.
_KEPT = (
    "select kept.upto, (select min(hour) from millrace.costs), hour, kind, name, times, cpu_seconds, events "
    "from millrace.costs_kept as kept left join millrace.costs on hour >= %s"
)
_SINCE = (
    "select id, timestamp, dagster_event_type, event from event_logs "
    f"where {RECORDED} and id > %s and timestamp >= %s order by id limit %s"
)


@dataclass(frozen=True)
class CostHistory:
    """What runs have cost.

    Attributes:
        start: From when all is in it, UTC.
        end: Until when, UTC.
        costs: Of each thing, the dearest first.
        hours: Begin of an hour → kind → CPU-seconds.
    """

    start: datetime
    end: datetime
    costs: list[Cost] = field(default_factory=list)
    hours: Mapping[datetime, Mapping[Kind, float]] = field(default_factory=dict)


def cost_history(records: DagsterRecords, *, since: datetime, now: datetime) -> CostHistory:
    """What was recorded since the hour of a moment.

    At most 50,000 events are read, about half an hour of a busy system's; the rest is in sums. Where more
    came since the last upkeep, the history ends before now.

    Args:
        records: Dagster's.
        since: UTC.
        now: UTC.

    Raises:
        CatalogUnavailable: Dagster's storage does not answer.
    """
    hour, upto = _hour(since), 0
    found: list[tuple[datetime, Cost]] = []
    start, end = None, now
    for upto, first, at, *sums in records.query(_KEPT, (hour,)):  # noqa: B007
        start = max(hour, first.astimezone(UTC)) if first is not None else None
        if at is not None:
            found.append((at.astimezone(UTC), Cost(*sums)))
    for page in range(_MOST_PAGES):
        rows = records.query(_SINCE, (upto, hour.replace(tzinfo=None), _PAGE))
        for _, at, event_type, text in rows:
            moment = at.replace(tzinfo=UTC)
            start = start or moment
            if (cost := cost_of(event_type, text)) is not None:
                found.append((_hour(moment), cost))
        if len(rows) < _PAGE:
            break
        upto = rows[-1][0]
        if page == _MOST_PAGES - 1:
            end = rows[-1][1].replace(tzinfo=UTC)
    hours: dict[datetime, dict[Kind, float]] = {}
    for at, cost in found:
        by_kind = hours.setdefault(at, {})
        by_kind[cost.kind] = by_kind.get(cost.kind, 0.0) + cost.cpu_seconds
    return CostHistory(start or now, end, summed(cost for _, cost in found), hours)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
