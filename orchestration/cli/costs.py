"""`millrace status --cost`: the CPU that services, streams, models and checks take."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ingestion.settings import Settings
from orchestration.cli.context import out
from orchestration.cli.tables import table
from orchestration.records.costs import Cost, ServiceCost, costs_since, service_costs
from orchestration.records.reader import DagsterRecords
from orchestration.records.system_state import read_system_state

_WINDOW = timedelta(minutes=5)


def show_costs(settings: Settings, *, as_json: bool) -> None:
    """Print what the running system takes, and what the runs of the last five minutes have cost.

    Args:
        settings: Where everything is.
        as_json: Whether to print JSON.

    Raises:
        CatalogUnavailable: Dagster's storage does not answer.
    """
    state = read_system_state(settings.data_dir)
    services = sorted(service_costs(state.services), key=lambda each: -each.cores) if state else []
    records = DagsterRecords(settings)
    try:
        costs = costs_since(records, datetime.now(UTC) - _WINDOW)
    finally:
        records.close()
    if not as_json:
        out.print(cost_tables(services, costs, seconds=_WINDOW.total_seconds()))
        return
    content = {
        "window_seconds": _WINDOW.total_seconds(),
        "services": [dataclasses.asdict(each) for each in services],
        "costs": [dataclasses.asdict(each) | {"cpu_seconds_per_million": each.per_million} for each in costs],
    }
    json.dump(content, sys.stdout, indent=2)
    sys.stdout.write("\n")


def cost_tables(services: Sequence[ServiceCost], costs: Sequence[Cost], *, seconds: float) -> RenderableType:
    """The tables, the dearest first.

    Args:
        services: The processes; none where nothing runs.
        costs: Of the runs.
        seconds: Over which those were summed.
    """
    parts: list[RenderableType] = []
    if services:
        rows = table("service", "cores", "CPU-s", "MiB", right=("cores", "CPU-s", "MiB"))
        for each in services:
            mib = f"{each.memory_bytes / 2**20:,.0f}"
            rows.add_row(escape(each.name), f"{each.cores:.3f}", f"{each.cpu_seconds:,.1f}", mib)
        cores = sum(each.cores for each in services)
        head = f"{cores:.2f} cores since each service started"
        parts += [Text(head, "bold"), rows, Text()]
    numbers = ("times", "events", "CPU-s", "per million events", "cores")
    rows = table("what", "name", *numbers, right=numbers, least=("times",))
    for cost in costs:
        per_million = "" if cost.per_million is None else f"{cost.per_million:,.0f}"
        rows.add_row(
            cost.kind,
            escape(cost.name),
            f"{cost.times:,}",
            f"{cost.events:,}" if cost.events else "",
            f"{cost.cpu_seconds:,.2f}",
            per_million,
            f"{cost.cpu_seconds / seconds:.4f}",
        )
    spent, events = sum(cost.cpu_seconds for cost in costs), sum(cost.events for cost in costs)
    head = f"{spent:,.1f} CPU-s in runs of the last {seconds / 60:g} minutes, for {events:,} events"
    return Group(*parts, Text(head, "bold"), *([rows] if costs else []))
