"""`millrace verify`: the recount, as a table per stream."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.markup import escape

from ingestion.declare.logs import open_logs
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings
from ingestion.watch.recount import PartitionCount, StreamCount, verify
from orchestration.cli.context import announce, err, out
from orchestration.cli.tables import table

_COLOURS = {"ok": "green", "warning": "yellow", "defect": "red"}


def recount(
    settings: Settings, streams: Sequence[Stream], *, since: datetime | None, until: datetime | None
) -> list[StreamCount]:
    """Recount each stream; times without a zone are UTC."""
    since, until = (time and (time if time.tzinfo else time.replace(tzinfo=UTC)) for time in (since, until))
    with Lake(settings) as lake, open_logs(streams, settings) as logs:
        prepare_lake(lake, (stream.name for stream in streams), progress=announce)
        counts = []
        for stream in streams:
            with err.status(f"{stream.name}: recounting …"):
                counts.append(verify(lake, stream, log=logs[stream.name], since=since, until=until))
        return counts


def show(counts: Sequence[StreamCount], *, as_json: bool) -> int:
    """Print the recount.

    Returns:
        The exit code: 1 when there is a defect; a warning is none.
    """
    if as_json:
        json.dump([dataclasses.asdict(count) for count in counts], sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for count in counts:
            _print(count)
    return int(any(count.verdict == "defect" for count in counts))


def _print(count: StreamCount) -> None:
    out.print(f"[bold]{count.stream}[/] [{_COLOURS[count.verdict]}]{count.verdict}[/]")
    numbers = (
        "unread",
        "read",
        "rows",
        "tombstones",
        "retried",
        "rejects",
        "open",
        "staged",
        "again",
        "conflicts",
        "waiting",
    )
    made = table("partition", "broker", "ledger", "held", *numbers, "verdict", right=("held", *numbers))
    for row in count.partitions:
        made.add_row(*_cells(row))
    if count.partitions:
        out.print(made)
    for partition in count.partitions:
        for finding in partition.findings:
            out.print(f"  {partition.partition}: {finding}", markup=False)
    for finding in count.findings:
        out.print(f"  {finding}", markup=False)


def _cells(row: PartitionCount) -> list[str]:
    counts = (row.read, row.rows, row.tombstones, row.retried, row.rejects, row.open_rejects)
    staging = (row.staged, row.redelivered, row.conflicting, row.waiting)
    return [
        escape(row.partition),
        "?" if row.broker_begin is None else f"{row.broker_begin:,} – {row.broker_end:,}",
        f"{row.start:,} – {row.end:,}",
        "?" if row.held is None else f"{row.held:,}",
        "?" if row.unread is None else f"{row.unread:,}",
        *(f"{number:,}" for number in counts),
        *("-" if row.staged is None else f"{number:,}" for number in staging),
        f"[{_COLOURS[row.verdict]}]{row.verdict}[/]",
    ]
