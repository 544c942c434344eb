"""`millrace maintain`: upkeep of the lake, now; the schedule `regular_upkeep` does it by itself."""

import dataclasses
import json
import sys
from collections.abc import Iterator

from rich.markup import escape

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.upkeep.maintenance import Report
from orchestration.cli.context import complain, err, out
from orchestration.cli.tables import table
from orchestration.records.lake_upkeep import keep_up


def run(settings: Settings, streams: tuple[Stream, ...], *, dry_run: bool) -> Report:
    """One pass of upkeep."""
    with Lake(settings) as lake, err.status("upkeep …"):
        return keep_up(lake, streams, dry_run=dry_run)


def show(report: Report, *, as_json: bool) -> int:
    """Print what was done.

    Returns:
        The exit code: 1 when something failed; what was busy waits for the next time.
    """
    if as_json:
        json.dump(dataclasses.asdict(report), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return int(bool(report.failed))
    if report.tables:
        out.print(_compactions(report))
    out.print("; ".join(sentences(report)) + f" ({report.seconds:.1f} s)", markup=False)
    for sentence in report.skipped:
        out.print(f"skipped: {sentence}", markup=False)
    for sentence in report.failed:
        complain(sentence)
    return int(bool(report.failed))


def sentences(report: Report) -> Iterator[str]:
    """What was done apart from compaction."""
    would = "would be " if report.dry_run else ""
    yield f"{report.snapshots_expired:,} snapshots {would}expired"
    yield f"{report.files_deleted:,} unused and {report.orphans_deleted:,} orphaned files {would}deleted"
    yield (
        f"{report.segments_trimmed:,} spool segments, {report.folders_removed:,} work folders and "
        f"{report.logs_removed:,} old logs {would}removed"
    )


def _compactions(report: Report) -> object:
    numbers = ("files", "→", "MiB", "→ MiB", "rows verified", "s")
    compactions = table("table", *numbers, right=numbers)
    for done in report.tables:
        compactions.add_row(
            escape(done.table),
            f"{done.files_before:,}",
            f"{done.files_after:,}",
            f"{done.bytes_before / 2**20:.2f}",
            f"{done.bytes_after / 2**20:.2f}",
            f"{done.rows_verified:,}",
            f"{done.seconds:.1f}",
        )
    return compactions
