"""What Dagster has recorded over days: outcomes of checks, measured freshness, runs. Summed in its storage.

The last result of each check is reader.py's; the rule of what a recorded evaluation came out as is its own,
in SQL here, since a day holds half a million of them (tests/orchestration/report compares the two).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestration.conditions.kinds import CONDITIONS_ASSET
from orchestration.records.reader import DagsterRecords, Outcome

FRESHNESS = "freshness_budget"  # keys.FRESHNESS_CHECK, which imports Dagster
HOPS = ("waiting", "reading", "loading", "building")
OUTCOMES: tuple[Outcome, ...] = ("passed", "warned", "could_not_run", "failed")
"""Of finished checks, the worst last."""
_MOST_MEASURED = 20_000
_EVALUATION = "evaluation_event::json #>> '{dagster_event,event_specific_data,%s}'"
_OUTCOME = (
    "case when execution_status = 'SUCCEEDED' then 'passed' "
    f"when {_EVALUATION % 'metadata,outcome,text'} = 'could_not_run' then 'could_not_run' "
    f"when {_EVALUATION % 'severity,__enum__'} like '%%WARN' then 'warned' else 'failed' end"
)
_COUNTED = (
    "select asset_key, check_name, "
    "floor(extract(epoch from evaluation_event_timestamp - %s::timestamp) / %s)::int as slot, "
    f"{_OUTCOME} as outcome, count(*) from asset_check_executions "
    "where execution_status <> 'PLANNED' and evaluation_event_timestamp >= %s group by 1, 2, 3, 4"
)
_BEGAN = (
    "select min(evaluation_event_timestamp) from asset_check_executions "
    "where execution_status <> 'PLANNED' and evaluation_event_timestamp >= %s"
)
_NUMBERS = ("measured", "budget_seconds", *(f"{hop}_seconds" for hop in HOPS))
_MEASURED = (
    "select asset_key, evaluation_event_timestamp, "
    + ", ".join(f"({_EVALUATION % f'metadata,{name},value'})::float8" for name in _NUMBERS)
    + " from asset_check_executions where execution_status <> 'PLANNED' and asset_key = %s "
    "and check_name = %s and evaluation_event_timestamp >= %s order by id desc limit %s"
)
_RUNS = (
    "select pipeline_name, status, count(*), coalesce(sum(end_time - start_time), 0), "
    "coalesce(max(end_time - start_time), 0) from runs where create_timestamp >= %s group by 1, 2"
)


@dataclass(frozen=True)
class CheckHistory:
    """How often a check came out how, in slots of equal length.

    Attributes:
        asset: Its key, with slashes.
        check: Its name.
        slots: Slot, counted from the begin → outcome → how often.
    """

    asset: str
    check: str
    slots: Mapping[int, Mapping[str, int]]

    def counts(self) -> dict[str, int]:
        """Outcome → how often in all."""
        return {name: sum(slot.get(name, 0) for slot in self.slots.values()) for name in OUTCOMES}


@dataclass(frozen=True)
class Measured:
    """What a check of freshness has measured: the worst of a mart since the result before.

    Attributes:
        at: UTC.
        seconds: From an event's time stamp until the mart showed it.
        budget_seconds: That the mart declared then.
        hops: Where the time went, as HOPS, seconds.
    """

    at: datetime
    seconds: float
    budget_seconds: float
    hops: tuple[float, ...]


@dataclass
class JobHistory:
    """The runs of a job.

    Attributes:
        job: Its name.
        states: Dagster's state → how many.
        seconds: Of those that ended, in all.
        longest_seconds: Of one.
    """

    job: str
    states: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    longest_seconds: float = 0.0


def recorded_since(records: DagsterRecords, moment: datetime) -> datetime | None:
    """The first result of a check since a moment (UTC); None when there is none."""
    ((first,),) = records.query(_BEGAN, (_naive(moment),)) or [(None,)]
    return first.replace(tzinfo=UTC) if first else None


def check_history(
    records: DagsterRecords, *, since: datetime, slot_seconds: float, slots: int
) -> list[CheckHistory]:
    """What every check came out as, without those that repeat conditions.

    Args:
        records: Dagster's.
        since: Begin of the first slot, UTC.
        slot_seconds: Length of a slot.
        slots: How many there are; what was recorded before or after belongs to the first or last.

    Raises:
        CatalogUnavailable: Dagster's storage does not answer.
    """
    found: dict[tuple[str, str], dict[int, dict[str, int]]] = {}
    start = _naive(since)
    for key, check, slot, outcome, count in records.query(_COUNTED, (start, slot_seconds, start)):
        asset = "/".join(json.loads(key))
        if asset == CONDITIONS_ASSET:
            continue
        at = found.setdefault((asset, check), {}).setdefault(min(max(slot or 0, 0), slots - 1), {})
        at[outcome] = at.get(outcome, 0) + count
    return [CheckHistory(asset, check, by_slot) for (asset, check), by_slot in sorted(found.items())]


def freshness_history(
    records: DagsterRecords, assets: Sequence[str], *, since: datetime
) -> dict[str, list[Measured]]:
    """Mart → what was measured of it, the newest 20,000 at most, the oldest first.

    Args:
        records: Dagster's.
        assets: The marts' keys, with slashes.
        since: UTC.

    Raises:
        CatalogUnavailable: Dagster's storage does not answer.
    """
    found = {}
    for asset in assets:
        rows = records.query(
            _MEASURED, (json.dumps(asset.split("/")), FRESHNESS, _naive(since), _MOST_MEASURED)
        )
        found[asset] = [
            Measured(at.replace(tzinfo=UTC), seconds, budget, tuple(each or 0.0 for each in hops))
            for _, at, seconds, budget, *hops in reversed(rows)
            if seconds is not None and budget is not None
        ]
    return found


def job_history(records: DagsterRecords, *, since: datetime) -> list[JobHistory]:
    """The runs of each job that were asked for since a moment (UTC), by the time that they took.

    Raises:
        CatalogUnavailable: Dagster's storage does not answer.
    """
    found: dict[str, JobHistory] = {}
    for job, state, count, seconds, longest in records.query(_RUNS, (_naive(since),)):
        each = found.setdefault(job, JobHistory(job))
        each.states[state] = count
        each.seconds += float(seconds)
        each.longest_seconds = max(each.longest_seconds, float(longest))
    return sorted(found.values(), key=lambda each: -each.seconds)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
