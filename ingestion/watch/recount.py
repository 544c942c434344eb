"""The recount: what the broker holds, the ledger says, raw and rejects hold, and what staging made of it.

Slow and thorough, for a person who asks; the proof of every batch is in ledger.py. Writes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ingestion.declare.stream import Stream
from ingestion.lake.damage import require_readable
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.log.port import Bounds, Log
from ingestion.log.positions import DECLARED, Position
from ingestion.watch.against_log import against_log, bounds_around, bounds_of, recognised
from ingestion.watch.queries import COUNTS, RANGE, staging_counts

Verdict = Literal["ok", "warning", "defect"]

_KINDS = ("staged", "redelivered", "conflicting", "waiting", "missing", "unfounded", "twice")
_BAD = {
    "missing": "events are missing in staging",
    "unfounded": "rows of staging have no event in raw",
    "twice": "rows are in staging twice",
}


@dataclass(frozen=True)
class PartitionCount:
    """One partition, recounted over the batches asked for.

    Attributes:
        partition: Its name.
        broker_begin: The oldest position that the broker holds; None where it did not answer.
        broker_end: The position that its next event will get; None where it did not answer.
        start: First position of the ledger's windows.
        end: The position after the last one.
        held: Positions of these windows that the broker could give again; None if unknown.
        unread: Positions in the broker that are in no batch; None if unknown.
        read: Events read from the log (positions without an event are holes).
        rows: Rows in raw.<stream>, tombstones and retried rejects included.
        tombstones: Rows with a null payload; staging leaves them out.
        rejects: Rows in raw.rejects.
        open_rejects: Of these, neither landed later nor dismissed.
        retried: Rows in raw.<stream> that had been rejects.
        staged: Rows in staging; None without a staging table.
        redelivered: Events that staging left out: it has another delivery of them, with the same business id
            and the same payload.
        conflicting: Events that staging left out although their payload is another one (`on_conflict`).
        waiting: Events newer than what staging has read.
        findings: What is wrong, as sentences.
        verdict: ok, warning (nothing is lost yet) or defect.
    """

    partition: str
    broker_begin: int | None
    broker_end: int | None
    start: int
    end: int
    held: int | None
    unread: int | None
    read: int
    rows: int
    tombstones: int
    rejects: int
    open_rejects: int
    retried: int
    staged: int | None
    redelivered: int
    conflicting: int
    waiting: int
    findings: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True)
class StreamCount:
    """One stream, recounted; `verdict` is the worst of its own findings and its partitions'."""

    stream: str
    partitions: tuple[PartitionCount, ...]
    findings: tuple[str, ...]
    verdict: Verdict


def verify(
    lake: Lake,
    stream: Stream,
    *,
    log: Log | None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> StreamCount:
    """Recount a stream, at one version of the lake.

    Args:
        lake: The lake.
        stream: A declared stream.
        log: Its log, which is asked for its bounds and each partition's last event; None to recount the lake
            alone.
        since: Only batches ingested at this time (UTC) or later.
        until: Only batches ingested before this time (UTC).

    Raises:
        StorageError: A file of the lake cannot be read; without a time, each is read to find out.
    """
    if since is None and until is None:
        tables = (stream.name, "rejects", "batches", "reject_resolutions")
        require_readable(lake, [("raw", name) for name in tables])
    # Asked before and after the lake fixes its version: ingestion goes on meanwhile, and neither a trim
    # behind it nor an append that it has read may look like a loss.
    before, _ = bounds_of(log)
    lake.connection.execute("begin")
    try:
        first, last = lake.connection.execute(
            RANGE, {"stream": stream.name, "since": since, "until": until}
        ).fetchall()[0]
        now, away = bounds_of(log)
        others: Collection[str] = ()
        if log is not None and now is not None:
            recognition, unread = recognised(log, read_state(lake, stream.name).positions, now)
            others, away = recognition.others, away + unread
        bounds = bounds_around(before, now)
        return _recount(lake, stream, log, bounds, others, first=first, last=last, warnings=away)
    finally:
        lake.connection.execute("rollback")


def _recount(
    lake: Lake,
    stream: Stream,
    log: Log | None,
    bounds: Mapping[str, Bounds] | None,
    others: Collection[str],
    *,
    first: int,
    last: int,
    warnings: list[str],
) -> StreamCount:
    positions = read_state(lake, stream.name).positions
    batches = {"first": first, "last": last}
    result = lake.connection.execute(COUNTS.format(table=stream.name), batches | {"stream": stream.name})
    names = [column[0] for column in result.description]
    counts = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    staging = _staging(lake, stream, batches)
    partitions = tuple(
        _partition(stream, log, row, positions[row["source_partition"]], bounds, others, staging)
        for row in sorted(counts, key=lambda row: str(row["source_partition"]))
        if row["source_partition"] != DECLARED
    )
    if not counts:
        warnings = [*warnings, "no batch of it is in the lake, or none of the time asked for"]
    if new := sorted((bounds or {}).keys() - positions.keys()):
        warnings = [*warnings, f"not read yet: {', '.join(new)}"]
    warnings = [*warnings, *_same_ids(stream, staging or {})]
    defects = [
        f"batch {defect.batch_id} {defect.source_partition}: {defect.message}".replace(" :", ":")
        for defect in prove(lake, stream.name, since_batch=max(0, first - 1)).defects
        if defect.batch_id <= last
    ]
    verdicts = {partition.verdict for partition in partitions}
    verdict: Verdict = (
        "defect"
        if defects or "defect" in verdicts
        else "warning"
        if warnings or "warning" in verdicts
        else "ok"
    )
    return StreamCount(stream.name, partitions, (*defects, *warnings), verdict)


def _same_ids(stream: Stream, staging: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """What is said of rows of staging with one business id."""
    same = staging.get(("", "same_business_id"), 0)
    kept = staging.get(("", "same_id_other_payload"), 0) if stream.on_conflict == "keep_all" else 0
    if same - kept:
        yield f"{same - kept} rows of staging have a business id that an earlier row has"
    if kept:
        yield f"{kept} rows of staging have the business id of another row and another payload (keep_all)"


def _partition(
    stream: Stream,
    log: Log | None,
    row: Mapping[str, Any],
    position: Position,
    bounds: Mapping[str, Bounds] | None,
    others: Collection[str],
    staging: Mapping[tuple[str, str], int] | None,
) -> PartitionCount:
    name = row["source_partition"]
    broker = bounds.get(name) if bounds else None
    staged = (
        {kind: staging[name, kind] for kind in _KINDS} if staging is not None else dict.fromkeys(_KINDS, 0)
    )
    defects = list(_row_defects(row)) + [
        f"{staged[kind]} {text}" for kind, text in _BAD.items() if staged[kind]
    ]
    warnings: list[str] = []
    if row["skipped"]:
        warnings.append(
            f"{row['skipped']} positions are lost: they were gone before they were read, and "
            "'on_truncated: earliest' or 'millrace adopt' went on after them"
        )
    if staged["conflicting"]:
        warnings.append(
            f"{staged['conflicting']} events have the business id of another event and another payload, and "
            f"staging left them out (on_conflict: {stream.on_conflict})"
        )
    if bounds is not None and log is not None:
        lost, endangered = against_log(stream, log, name, position, bounds, others)
        defects, warnings = defects + lost, warnings + endangered
    verdict: Verdict = "defect" if defects else "warning" if warnings else "ok"
    return PartitionCount(
        partition=name,
        broker_begin=broker.begin if broker else None,
        broker_end=broker.end if broker else None,
        start=row["first"],
        end=row["last"],
        held=max(0, min(row["last"], broker.end) - max(row["first"], broker.begin)) if broker else None,
        unread=max(0, broker.end - position.next) if broker else None,
        read=row["read"] - row["retried"],
        rows=row["landed"],
        tombstones=row["tombstones"],
        rejects=row["rejects"],
        open_rejects=row["open_rejects"],
        retried=row["retried"],
        staged=None if staging is None else staged["staged"],
        redelivered=staged["redelivered"],
        conflicting=staged["conflicting"],
        waiting=staged["waiting"],
        findings=(*defects, *warnings),
        verdict=verdict,
    )


def _row_defects(row: Mapping[str, Any]) -> Iterator[str]:
    there = row["landed"] + row["rejects"]
    if there != row["read"]:
        yield f"the ledger says that {row['read']} events were read, {there} are there"
    if row["landed"] > row["positions"]:
        yield f"{row['landed'] - row['positions']} rows are in raw twice"
    if row["doubled"]:
        yield f"{row['doubled']} events are in raw and still count as rejects"
    outside = row["landed"] > row["retried"] and (
        row["highest"] >= row["last"] or (row["lowest"] < row["first"] and not row["retried"])
    )
    if outside:
        yield f"rows have positions from {row['lowest']} to {row['highest']}, outside the ledger's windows"


def _staging(lake: Lake, stream: Stream, batches: Mapping[str, int]) -> dict[tuple[str, str], int] | None:
    """(partition, kind) → count; None when the stream has no staging table of the usual columns."""
    columns = lake.query(
        "select count(*) from duckdb_columns() where database_name = ? and schema_name = 'staging' "
        "and table_name = ? and column_name in ('batch_id', 'source_partition', 'event_id')",
        [CATALOG_NAME, f"stg_{stream.name}"],
    )
    if columns != [(3,)]:
        return None
    sql = staging_counts(stream)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for partition, kind, count in lake.connection.execute(sql, dict(batches)).fetchall():
        counts[partition, kind] = int(count)
    return counts
