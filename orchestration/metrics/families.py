"""What `millrace status` shows, as metric families; what a part that is silent would say is left out.

Names and units follow Prometheus' own rules: base units, and `_total` for what only grows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from orchestration.conditions.kinds import KINDS
from orchestration.reactions.entries import STATES
from orchestration.records.overview import Overview
from orchestration.records.reader import CheckRecord

FRESHNESS_CHECK = "freshness_budget"  # as in keys.py, which imports Dagster
PARTS = ("lake", "dagster")
HOPS = ("waiting", "reading", "loading", "building")
"""Of an event's way into a mart, in their order; as checks/freshness.py names them."""
PUBLISHING = "publishing"
"""From the lake to PostgreSQL: after that way, outside the mart's budget."""

Labels = Sequence[str]
Samples = Iterable[tuple[Labels, float | None]]


@dataclass(frozen=True)
class Name:
    """A metric's name without its prefix, its help text, its labels, and whether it only grows."""

    name: str
    help: str
    labels: Labels = field(default=())
    grows: bool = False


def family(name: Name, samples: Samples) -> Metric:
    """One family; a sample without a value is left out."""
    kind = CounterMetricFamily if name.grows else GaugeMetricFamily
    made = kind(f"millrace_{name.name}", name.help, labels=name.labels)
    for labels, value in samples:
        if value is not None:
            made.add_metric(list(labels), value)
    return made


def system_families(overview: Overview) -> Iterator[Metric]:
    """Whether it runs, which parts answer, what does not work, and its processes."""
    yield family(
        Name("running", "1 while a system runs on the data folder, else 0."), [((), float(overview.running))]
    )
    yield family(
        Name(
            "part_answers",
            "1 if the part answered this scrape; 0: what it knows is missing here. Parts: lake (with its "
            "catalog), dagster (Dagster's storage).",
            ("part",),
        ),
        (((part,), float(part not in overview.silent)) for part in PARTS),
    )
    found = Counter(condition.finding.name for condition in overview.conditions)
    yield family(
        Name("open_conditions", "Open conditions of each kind; 0: all is well in that respect.", ("kind",)),
        (((kind,), float(found[kind])) for kind in KINDS),
    )
    yield family(
        Name(
            "reaction_alerts",
            "Alerts of each reaction, ever, by what became of them: pending, held, batched and failed wait.",
            ("reaction", "state"),
        ),
        (
            ((name, state), float(counts.get(state, 0)))
            for name, counts in overview.reactions.items()
            for state in STATES
        ),
    )
    services = overview.services
    yield family(
        Name("service_up", "1 while the process runs.", ("service",)),
        (((row.name,), float(row.running)) for row in services),
    )
    yield family(
        Name("service_restarts", "Starts after an end that nobody asked for.", ("service",), grows=True),
        (((row.name,), float(row.restarts)) for row in services),
    )


def stream_families(overview: Overview) -> Iterator[Metric]:
    """How far each stream is; nothing while the lake is silent."""
    rows = overview.streams
    yield family(
        Name("stream_source_answers", "1 if the stream's source answered and continues.", ("stream", "kind")),
        (((row.stream, row.kind), float(not row.error)) for row in rows),
    )
    known = [row for row in rows if not row.error]
    yield family(
        Name("stream_lag_events", "Unread positions of the log.", ("stream",)),
        (((row.stream,), float(row.lag_events)) for row in known),
    )
    yield family(
        Name(
            "stream_oldest_unread_seconds",
            "Age of the oldest unread event by the broker's time; 0 when all is in.",
            ("stream",),
        ),
        (((row.stream,), row.lag_seconds) for row in known),
    )
    yield family(
        Name("stream_landed_events", "Events that landed in the raw table, ever.", ("stream",), grows=True),
        (((row.stream,), float(row.rows)) for row in rows),
    )
    yield family(
        Name("stream_rejected_events", "Events that could not be decoded, ever.", ("stream",), grows=True),
        (((row.stream,), float(row.rejects)) for row in rows),
    )
    yield family(
        Name("stream_batches", "Batches that the lake holds.", ("stream",), grows=True),
        (((row.stream,), float(row.batches)) for row in rows),
    )
    yield family(
        Name("stream_open_rejects", "Rejects that neither landed later nor were dismissed.", ("stream",)),
        (((row.stream,), float(row.open_rejects)) for row in rows),
    )
    yield family(
        Name("stream_last_load_timestamp_seconds", "When the newest batch was read.", ("stream",)),
        (((row.stream,), _seconds(row.last_load_at)) for row in rows),
    )
    yield family(
        Name("stream_last_event_timestamp_seconds", "Broker's time of the newest event.", ("stream",)),
        (((row.stream,), _seconds(row.last_event_at)) for row in rows),
    )


def model_families(overview: Overview) -> Iterator[Metric]:
    """When models were built, what checks found, and how old events are in their marts."""
    yield family(
        Name("model_built_timestamp_seconds", "When the model was built last.", ("model",)),
        (((row.asset,), _seconds(row.built_at)) for row in overview.models),
    )
    checks = overview.checks
    yield family(
        Name("check_failed", "1 if the check's last run failed or could not be done.", ("asset", "check")),
        ((_of(row), float(row.outcome in ("failed", "could_not_run"))) for row in checks),
    )
    yield family(
        Name("check_warned", "1 if the check's last run warned.", ("asset", "check")),
        ((_of(row), float(row.outcome == "warned")) for row in checks),
    )
    yield family(
        Name("check_timestamp_seconds", "When the check ran last.", ("asset", "check")),
        ((_of(row), row.checked_at.timestamp()) for row in checks),
    )
    yield family(
        Name("check_measured", "What the check measured, in its own unit.", ("asset", "check")),
        ((_of(row), row.numbers.get("measured")) for row in checks if row.check != FRESHNESS_CHECK),
    )
    fresh = [row for row in checks if row.check == FRESHNESS_CHECK]
    yield family(
        Name(
            "mart_age_seconds",
            "Age of the oldest event of the newest batches when the mart showed it, as last reported.",
            ("mart",),
        ),
        (((row.asset,), row.numbers.get("measured")) for row in fresh),
    )
    yield family(
        Name("mart_budget_seconds", "The freshness that the mart's model declares.", ("mart",)),
        (((row.asset,), row.numbers.get("budget_seconds")) for row in fresh),
    )
    yield family(
        Name(
            "mart_hop_seconds",
            "Where that age went: waiting, reading, loading, building; then publishing, to PostgreSQL.",
            ("mart", "hop"),
        ),
        [
            *(((row.asset, hop), row.numbers.get(f"{hop}_seconds")) for row in fresh for hop in HOPS),
            *(((asset, PUBLISHING), spent) for asset, spent in _published(overview)),
        ],
    )


def _published(overview: Overview) -> Iterator[tuple[str, float]]:
    """Each published mart's asset; a model's name is unique in a project."""
    for row in overview.models:
        spent = overview.publishing.get(row.asset.rpartition("/")[2])
        if spent is not None:
            yield row.asset, spent


def _of(check: CheckRecord) -> tuple[str, str]:
    return check.asset, check.check


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
