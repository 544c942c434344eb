"""What the demo proves: how many events were sent, landed and reached the marts, how fresh, how checked.

Numbers come from the plant's report, the lake, Dagster's records and the independent reader. The demo is good
when `problems` is empty. Showing it is the command's (cli/demo.py).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingestion.lake.lake import Lake
from orchestration.demo.freshness import FreshnessReader, Sight
from orchestration.keys import ARRIVALS_SENSOR
from orchestration.records.reader import CheckRecord, DagsterRecords, RunRecord


@dataclass(frozen=True)
class Delivery:
    """One broker's events on their way.

    Attributes:
        broker: MQTT, Kafka or HTTP.
        stream: The stream.
        sent: Messages that the broker acknowledged.
        raw: Rows in the raw table.
        rejected: Rows in the rejects.
        expected: Distinct, well-formed events among the sent ones: what belongs in the marts.
        marts: Events that the marts hold.
        p50_s: Median seconds from an event's own time until it was visible in a mart; None without any.
        p95_s: 95th percentile of the same.
    """

    broker: str
    stream: str
    sent: int
    raw: int
    rejected: int
    expected: int
    marts: int
    p50_s: float | None
    p95_s: float | None

    @property
    def complete(self) -> bool:
        """Whether everything that belongs in the marts is there, once.

        Whoever else sends, as with `millrace produce`, adds to both.
        """
        more = self.raw + self.rejected - self.sent
        return more >= 0 and self.expected <= self.marts <= self.expected + more


@dataclass(frozen=True)
class Summary:
    """The demo's outcome.

    Attributes:
        deliveries: One a stream.
        runs_by_sensors: Runs that a sensor asked for and that succeeded.
        runs_failed: Runs that failed.
        checks: Outcome → number of executions.
        alerts: Rows in the mart of alerts.
        hops: Median seconds of each hop of an event's way.
        problems: What is missing, a sentence each.
    """

    deliveries: tuple[Delivery, ...]
    runs_by_sensors: int
    runs_failed: int
    checks: Mapping[str, int]
    alerts: int
    hops: Mapping[str, float]
    problems: tuple[str, ...]

    @property
    def slowest_hop(self) -> str:
        """The hop with the largest median; empty without any."""
        return max(self.hops, key=lambda hop: self.hops[hop], default="")


def deliveries(lake: Lake, report: Mapping[str, Any], reader: FreshnessReader) -> tuple[Delivery, ...]:
    """Count what the plant sent and what arrived."""
    counted = {
        row[0]: (int(row[1]), int(row[2]))
        for row in lake.query(
            "select stream, sum(events_landed), sum(events_rejected) from raw.batches group by stream"
        )
    }
    found = []
    for stream in reader.streams:
        raw, rejected = counted.get(stream.name, (0, 0))
        ages = reader.ages(stream.name)
        found.append(
            Delivery(
                broker=stream.broker,
                stream=stream.name,
                sent=int(report["sent"][stream.name]),
                raw=raw,
                rejected=rejected,
                expected=int(report["expected"][stream.name]),
                marts=_number(lake, stream.counts),
                p50_s=percentile(ages, 0.5),
                p95_s=percentile(ages, 0.95),
            )
        )
    return tuple(found)


def summarise(
    lake: Lake,
    records: DagsterRecords,
    *,
    report: Mapping[str, Any],
    reader: FreshnessReader,
    since: datetime,
) -> Summary:
    """Judge a demo.

    Args:
        lake: Its lake.
        records: Dagster's records.
        report: The plant's last report.
        reader: The independent reader.
        since: When the demo began, UTC.
    """
    found = deliveries(lake, report, reader)
    runs = records.runs(since=since, limit=10_000)
    checks = records.checks_since(since)
    succeeded = [run for run in runs if run.sensor == ARRIVALS_SENSOR and run.status == "SUCCESS"]
    failed = [run for run in runs if run.status == "FAILURE"]
    return Summary(
        deliveries=found,
        runs_by_sensors=len(succeeded),
        runs_failed=len(failed),
        checks=_tally(checks),
        alerts=_number(lake, "select count(*) from marts.alerts"),
        hops=hops(lake, runs, reader.sights),
        problems=tuple(_problems(found, succeeded=succeeded, failed=failed, checks=checks)),
    )


def _problems(
    found: Sequence[Delivery],
    *,
    succeeded: Sequence[RunRecord],
    failed: Sequence[RunRecord],
    checks: Sequence[CheckRecord],
) -> list[str]:
    problems = []
    for delivery in found:
        if not delivery.sent:
            problems.append(f"the plant sent nothing over {delivery.broker}: look into its log")
        elif not delivery.complete:
            problems.append(
                f"of {delivery.broker}'s {delivery.sent} messages {delivery.raw + delivery.rejected} are in "
                f"raw, and the marts hold {delivery.marts} of {delivery.expected} events"
            )
    if not succeeded:
        problems.append("no run that a sensor asked for succeeded")
    problems += [f"run {run.run_id} failed" for run in failed[:3]]
    bad = [check for check in checks if check.outcome in ("failed", "could_not_run")]
    names = dict.fromkeys(
        f"{check.check} of {check.asset}: {check.outcome}, {check.message}" for check in bad
    )
    problems += [f"check {name}" for name in list(names)[:5]]
    if not checks:
        problems.append("no check ran")
    return problems


def hops(lake: Lake, runs: Sequence[RunRecord], sights: Sequence[Sight]) -> dict[str, float]:
    """Median seconds of each hop of an event's way to a mart, over the batches that were seen.

    A run that goes on is launched once: most events wait only for its next cycle.
    """
    started = {
        (row[0], int(row[1])): row[2]
        for row in lake.query("select stream, batch_id, min(started_at) from raw.batches group by all")
    }
    spans: dict[str, list[float]] = {
        "waiting to be read": [],
        "launch of a run": [
            (run.started_at - run.created_at).total_seconds() for run in runs if run.started_at
        ],
        "ingest and build": [],
    }
    for sight in sights:
        batch_at = started.get((sight.stream, sight.batch_id))
        if batch_at is not None and sight.ages_s:
            built = (sight.seen_at - batch_at).total_seconds()
            spans["waiting to be read"].append(max(0.0, statistics.median(sight.ages_s) - built))
            spans["ingest and build"].append(built)
    return {hop: round(statistics.median(values), 2) for hop, values in spans.items() if values}


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile of sorted values; None when there are no values."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)


def _tally(checks: Sequence[CheckRecord]) -> dict[str, int]:
    tally = dict.fromkeys(("passed", "warned", "failed", "could_not_run"), 0)
    for check in checks:
        tally[check.outcome] = tally.get(check.outcome, 0) + 1
    return tally


def _number(lake: Lake, sql: str) -> int:
    import duckdb

    try:
        return int(lake.query(sql)[0][0])
    except duckdb.CatalogException:
        return 0  # the model was not built
