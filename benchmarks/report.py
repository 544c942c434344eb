"""One row per measured figure, as a Rich table on the terminal and as Markdown in docs/performance.md."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.repository import REPOSITORY

_PAGE = REPOSITORY / "docs" / "performance.md"
_BEGIN, _END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
_PACKAGES = ("dagster", "dbt-core", "dlt", "duckdb", "kafka-python", "soda-core")


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        workload: W1 … W5, or what else was measured.
        what: The figure's name and unit.
        measured: As it is shown.
        target: As it is shown; empty without one.
        reached: Whether the target was; None without one.
        note: The guarantee, or the hop that takes the time.
    """

    workload: str
    what: str
    measured: str
    target: str = ""
    reached: bool | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """One word for `reached`."""
        return {True: "yes", False: "no", None: ""}[self.reached]


def at_most(workload: str, what: str, value: float, limit: float, *, unit: str, note: str = "") -> Row:
    """A figure that must not be larger than a limit."""
    return Row(workload, what, f"{value:.3g} {unit}", f"≤ {limit:g} {unit}", value <= limit, note)


def at_least(workload: str, what: str, value: float, limit: float, *, unit: str, note: str = "") -> Row:
    """A figure that must not be smaller than a limit."""
    return Row(workload, what, f"{value:,.0f} {unit}", f"≥ {limit:,.0f} {unit}", value >= limit, note)


def machine() -> str:
    """The machine and the versions, as one sentence."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, "
        f"Python {platform.python_version()}, {versions}; load before: {os.getloadavg()[0]:.1f}"
    )


def show(rows: list[Row], *, where: str) -> None:
    """Print all rows as one table.

    Args:
        rows: What was measured.
        where: The machine.
    """
    table = Table(title=where, title_justify="left")
    for name in ("workload", "what", "measured", "target", "reached", "note"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(row.workload, row.what, row.measured, row.target, row.verdict, row.note)
    Console(width=None if os.isatty(1) else 160).print(table)


def write(rows: list[Row], *, where: str, page: Path = _PAGE) -> None:
    """Put rows between the page's two markers, in place of the earlier rows of the same workloads.

    Args:
        rows: What was measured; a workload's rows are of one run.
        where: The machine.
        page: The Markdown page.
    """
    head, rest = page.read_text(encoding="utf-8").split(_BEGIN)
    table, tail = rest.split(_END)
    measured = {row.workload for row in rows}
    lines = [
        line
        for line in table.splitlines()
        if line.startswith("| ") and line.split(" | ")[0][2:] not in measured
    ]
    lines = [line for line in lines if not line.startswith("| workload |")] + [
        f"| {row.workload} | {row.what} | {row.measured} | {row.target} | {row.verdict} | {row.note} |"
        for row in rows
    ]
    lines.sort(key=lambda line: (not line.startswith("| W"), line.split(" | ")[0]))
    lines = [
        f"Last written {datetime.now(UTC):%Y-%m-%d} on {where}.",
        "",
        "| workload | what | measured | target | reached | note |",
        "|---|---|---|---|---|---|",
        *lines,
    ]
    page.write_text("\n".join([head + _BEGIN, *lines, _END]) + tail, encoding="utf-8")


def emit(rows: list[Row]) -> None:
    """Hand rows of a benchmark that is a process of its own to the one that started it."""
    for row in rows:
        print("ROW " + json.dumps(asdict(row)), flush=True)


def collect(told: str) -> list[Row]:
    """The rows in what such a process printed."""
    return [Row(**json.loads(line[4:])) for line in told.splitlines() if line.startswith("ROW ")]
