"""What streams, models and checks have cost lately, as runs recorded it, and what the services take."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from orchestration.records.reader import DagsterRecords
from orchestration.records.system_state import ServiceRow
from orchestration.records.usage import usage

Kind = Literal["stream", "model", "check"]
_CPU, _EVENTS = "cpu_seconds", "batch_events_read"  # as in keys.py and land.py, which import Dagster
_RAW = "raw/"
_MOST_EVENTS = 50_000
RECORDED = "dagster_event_type in ('ASSET_MATERIALIZATION', 'ASSET_CHECK_EVALUATION')"
"""Condition of SQL: which of Dagster's events may say that something has cost."""
_RECORDED = (
    "select dagster_event_type, event from event_logs "
    f"where timestamp >= %s::timestamp and {RECORDED} order by id desc limit %s"
)


@dataclass(frozen=True)
class Cost:
    """What one thing has cost in a while.

    Attributes:
        kind: A stream's batches with their proof, a model's builds, or a check.
        name: The stream, the asset, or the asset and its check.
        times: How often it was done.
        cpu_seconds: Of the runs' processes; PostgreSQL's are in its service.
        events: That a stream's batches have read; 0 for others.
    """

    kind: Kind
    name: str
    times: int = 0
    cpu_seconds: float = 0.0
    events: int = 0

    @property
    def per_million(self) -> float | None:
        """CPU-seconds per million events; None for what reads none."""
        return self.cpu_seconds / self.events * 1e6 if self.events else None

    def __add__(self, other: "Cost") -> "Cost":
        """Both together; they are of the same thing."""
        return replace(
            self,
            times=self.times + other.times,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            events=self.events + other.events,
        )


@dataclass(frozen=True)
class ServiceCost:
    """What a process takes with its children.

    Attributes:
        name: Of the service.
        cpu_seconds: Since it started.
        cores: On average since then.
        memory_bytes: Now.
    """

    name: str
    cpu_seconds: float
    cores: float
    memory_bytes: int


def costs_since(records: DagsterRecords, moment: datetime) -> list[Cost]:
    """What was recorded since a moment, the dearest first.

    Args:
        records: Dagster's.
        moment: UTC.

    Raises:
        CatalogUnavailable: Dagster's storage does not answer.
    """
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    rows = records.query(_RECORDED, (naive, _MOST_EVENTS))
    return summed(cost for event_type, text in rows if (cost := cost_of(event_type, text)) is not None)


def cost_of(event_type: str, text: str) -> Cost | None:
    """What one recorded event says that something has cost; None where it says nothing of it.

    Args:
        event_type: Dagster's, one of RECORDED.
        text: The event, as its storage holds it.
    """
    data = (json.loads(text).get("dagster_event") or {}).get("event_specific_data") or {}
    return _of_check(data) if event_type == "ASSET_CHECK_EVALUATION" else _of_build(data)


def summed(costs: Iterable[Cost]) -> list[Cost]:
    """One of each thing, the dearest first."""
    found: dict[tuple[Kind, str], Cost] = {}
    for cost in costs:
        before = found.get((cost.kind, cost.name))
        found[cost.kind, cost.name] = cost if before is None else before + cost
    return sorted(found.values(), key=lambda cost: -cost.cpu_seconds)


def service_costs(services: Iterable[ServiceRow]) -> Iterator[ServiceCost]:
    """What each service that runs takes."""
    now = time.time()
    for row in services:
        used = usage(row.pid) if row.pid else None
        if used is not None:
            cores = used.cpu_seconds / max(1.0, now - used.started_at)
            yield ServiceCost(row.name, used.cpu_seconds, cores, used.memory_bytes)


def _of_build(data: dict[str, Any]) -> Cost | None:
    made = data.get("materialization") or {}
    numbers = {
        entry.get("label"): (entry.get("entry_data") or {}).get("value")
        for entry in made.get("metadata_entries") or ()
    }
    name = "/".join((made.get("asset_key") or {}).get("path") or ())
    seconds = numbers.get(_CPU)
    if not isinstance(seconds, int | float):
        return None
    if name.startswith(_RAW):
        events = int(numbers.get(_EVENTS) or 0)
        return Cost("stream", name.removeprefix(_RAW), 1, float(seconds), events)
    return Cost("model", name, 1, float(seconds))


def _of_check(data: dict[str, Any]) -> Cost | None:
    seconds = ((data.get("metadata") or {}).get(_CPU) or {}).get("value")
    name = "/".join((data.get("asset_key") or {}).get("path") or ())
    if not isinstance(seconds, int | float):
        return None
    return Cost("check", f"{name}: {data.get('check_name')}", 1, float(seconds))
