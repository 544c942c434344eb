"""What a report holds, read once: one version of the lake, and what Dagster has recorded.

How it is shown: sections.py. A part that cannot be read is a sentence, and the others are there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.watch.staged import Conflicts, count_conflicts
from orchestration.checks.contracts import Contract, list_checks, load_contract
from orchestration.conditions.condition import Condition
from orchestration.conditions.journal import read_conditions
from orchestration.dbt.project import contract_folders
from orchestration.records.cost_history import CostHistory, cost_history
from orchestration.records.costs import ServiceCost, service_costs
from orchestration.records.history import (
    FRESHNESS,
    CheckHistory,
    JobHistory,
    Measured,
    check_history,
    freshness_history,
    job_history,
    recorded_since,
)
from orchestration.records.overview import Overview, OverviewReader

SLOTS = 48
"""Parts of the time that a report covers, one beside the other in its charts."""
_SHORTEST = timedelta(minutes=10)
_OPS = {
    "ops_batches": "where ingested_at >= ? and ingested_at <= ?",
    "ops_rejects": "where hour_at >= date_trunc('hour', ?::timestamptz) and hour_at <= ?",
    "ops_cast_errors": "",
    "ops_lateness": "",
}
_ORDER = {
    "ops_batches": "ingested_at",
    "ops_rejects": "stream, hour_at, reason",
    "ops_cast_errors": "stream, errors desc, field",
    "ops_lateness": "stream",
}
Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Span:
    """The time that a report covers.

    Attributes:
        start: UTC.
        end: When it was made, UTC.
    """

    start: datetime
    end: datetime

    @property
    def slot_seconds(self) -> float:
        """The length of a slot."""
        return (self.end - self.start).total_seconds() / SLOTS

    def slot(self, moment: datetime) -> int:
        """The slot of a moment, which lies within."""
        at = int((moment - self.start).total_seconds() / self.slot_seconds)
        return min(max(at, 0), SLOTS - 1)


@dataclass
class Content:
    """All that a report shows.

    Attributes:
        span: What it covers.
        asked_days: What it was asked to cover, days.
        project: The project's name.
        overview: As `millrace status` shows it.
        version: Of the lake; None where that could not be read.
        conditions: What did not work in the meantime, open or over, the newest first.
        contracts: `schema.table` → its contract.
        checks: What every check came out as.
        freshness: Mart → what was measured.
        ops: Name of an ops model → its rows; without those that are not built.
        conflicts: Stream → deliveries that contradict each other, of its newest hour.
        costs: Of runs; None where they could not be read.
        services: What the processes take.
        jobs: The runs of each job.
        missing: A sentence for each part that could not be read.
    """

    span: Span
    asked_days: float
    project: str
    overview: Overview
    version: int | None = None
    conditions: list[Condition] = field(default_factory=list)
    contracts: dict[str, Contract] = field(default_factory=dict)
    checks: list[CheckHistory] = field(default_factory=list)
    freshness: dict[str, list[Measured]] = field(default_factory=dict)
    ops: dict[str, list[Row]] = field(default_factory=dict)
    conflicts: dict[str, Conflicts] = field(default_factory=dict)
    costs: CostHistory | None = None
    services: list[ServiceCost] = field(default_factory=list)
    jobs: list[JobHistory] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def read_content(
    settings: Settings, streams: Sequence[Stream], *, days: float, now: datetime | None = None
) -> Content:
    """Read everything once.

    Args:
        settings: Where everything is.
        streams: The declared ones.
        days: How far back it goes; less where nothing is recorded from so long ago.
        now: UTC.
    """
    now = now or datetime.now(UTC)
    reader = OverviewReader(settings, streams)
    try:
        return _read(reader, settings, streams, days=days, now=now)
    finally:
        reader.close()


def _read(
    reader: OverviewReader, settings: Settings, streams: Sequence[Stream], *, days: float, now: datetime
) -> Content:
    with suppress(MillraceError, duckdb.Error):  # why stands in the overview
        reader.lake.connection.execute("begin transaction read only")
    overview = reader.read()
    missing = list(overview.errors)

    def or_nothing(ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except (MillraceError, duckdb.Error) as error:
            missing.append(str(error).splitlines()[0])
            return otherwise

    records, lake, since = reader.records, reader.lake, now - timedelta(days=days)
    can_ask, can_read = "dagster" not in overview.silent, "lake" not in overview.silent
    first = or_nothing(lambda: recorded_since(records, since), None) if can_ask else None
    span = Span(min(max(since, first or since), now - _SHORTEST), now)
    content = Content(span, days, settings.project.name, overview, missing=missing)
    content.conditions = [
        each
        for each in reversed(read_conditions(settings.data_dir))
        if each.closed is None or each.closed >= span.start
    ]
    content.contracts = dict(_contracts(settings.dbt_folder))
    content.services = sorted(service_costs(overview.services), key=lambda each: -each.cores)
    if can_ask:
        content.checks = or_nothing(
            lambda: check_history(records, since=span.start, slot_seconds=span.slot_seconds, slots=SLOTS), []
        )
        marts = [each.asset for each in content.checks if each.check == FRESHNESS]
        content.freshness = or_nothing(lambda: freshness_history(records, marts, since=span.start), {})
        content.costs = or_nothing(lambda: cost_history(records, since=span.start, now=now), None)
        content.jobs = or_nothing(lambda: job_history(records, since=span.start), [])
    if can_read:
        content.version = or_nothing(lake.snapshot_id, None)
        content.ops = or_nothing(lambda: _ops(lake, span), {})
        content.conflicts = or_nothing(lambda: _conflicts(lake, streams), {})
    content.missing = list(dict.fromkeys(missing))
    return content


def _contracts(project_dir: Path) -> Iterable[tuple[str, Contract]]:
    """Those that can be read; a broken one is a condition."""
    for path in sorted(path for folder in contract_folders(project_dir) for path in folder.glob("*.yml")):
        with suppress(MillraceError):
            contract = load_contract(path)
            list_checks(contract)
            yield contract.dataset, contract


def _ops(lake: Lake, span: Span) -> dict[str, list[Row]]:
    places = {table: schema for schema, table in lake.tables() if table in _OPS}
    found: dict[str, list[Row]] = {}
    for table, schema in places.items():
        where = _OPS[table]
        cursor = lake.connection.execute(
            f'from "{schema}"."{table}" {where} order by {_ORDER[table]}',
            [span.start, span.end] if where else [],
        )
        names = [column[0] for column in cursor.description or ()]
        found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def _conflicts(lake: Lake, streams: Sequence[Stream]) -> dict[str, Conflicts]:
    built = lake.tables()
    return {
        stream.name: count_conflicts(lake, stream)
        for stream in streams
        if stream.business_id and ("staging", f"stg_{stream.name}") in built
    }
