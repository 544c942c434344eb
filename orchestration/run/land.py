"""One batch inside a run: it lands in the lake, and its checks decide what may be built from it.

How a batch works is in ingestion/land/batch.py. A run's first batch of a stream is a step of its own
(assets/raw.py), the later ones are parts of its cycles (cycles.py).
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import duckdb
from dagster import (
    AssetCheckResult,
    DagsterInstance,
    DataVersion,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
)
from sqlalchemy.exc import DBAPIError

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.errors import CatalogUnavailable, MillraceError, StorageError, StreamBusy
from ingestion.lake.sizes import TableSize
from ingestion.land.report import BatchReport
from ingestion.land.session import LakeSession
from ingestion.land.traced import land_traced
from ingestion.log.plausible import believed
from ingestion.log.port import Log
from orchestration.checks.adapter import run_contract
from orchestration.checks.incomplete import incomplete_results
from orchestration.checks.ledger import prove_ledger
from orchestration.checks.raw_contracts import raw_contract
from orchestration.conditions.silence import note_heard
from orchestration.keys import CPU_METADATA, raw_key
from orchestration.run import stage
from orchestration.run.breaks import breaks
from orchestration.run.lineage_of import note_load, note_raw_checks
from orchestration.run.progress import CheckedBatches
from orchestration.run.traced import say_checks

RAW_VERSION = DataVersion("append-only")
"""Of every raw table. A version that moved with each batch would make Dagster call each model stale."""


@dataclass(frozen=True)
class Landed:
    """What Dagster records of a batch: the asset's metadata and the results of its checks."""

    metadata: Mapping[str, Any]
    checks: Sequence[AssetCheckResult]


def ingest_batch(
    session: LakeSession, instance: DagsterInstance, stream: Stream, log: Log, *, run_id: str
) -> Landed:
    """Land one batch and check it, together with earlier batches that have not passed their checks.

    Args:
        session: The run's lake.
        instance: Keeps which batches have passed their checks.
        stream: The stream; its raw table exists.
        log: Its log.
        run_id: The run.

    Raises:
        MillraceError: As Ingestor.run does.
    """
    doing = f"reading and loading a batch of '{stream.name}'"
    stage.begin(session.settings, run_id, doing, stream=stream.name)
    try:
        return _ingest(session, instance, stream, log, run_id=run_id)
    except duckdb.Error as error:
        raise session.lake.explain(error) from None
    except DBAPIError as error:
        kind = type(error).__name__
        raise CatalogUnavailable(f"Dagster's storage went away during a batch ({kind})") from None


def _ingest(
    session: LakeSession, instance: DagsterInstance, stream: Stream, log: Log, *, run_id: str
) -> Landed:
    began, key, contract = time.process_time(), raw_key(stream.name), raw_contract(stream)
    report = _load(session, stream, log, run_id=run_id)
    if report.events_read:
        with suppress(
            StorageError, duckdb.Error
        ):  # the batch is in the lake; a full disk is reported elsewhere
            note_heard(session.lake, stream.name, now=utc_now())
    stage.begin(session.settings, run_id, f"checking a batch of '{stream.name}'", computes=True)
    checked = CheckedBatches(instance)
    since, newest = checked.last(stream.name), report.newest_batch_id
    if since > newest or since == report.batch_id:
        # The lake was restored to a time before that batch: batches with these numbers are not checked yet.
        since = 0
        checked.advance({stream.name: since})
    checking_s = time.time()
    with session.trace.step(f"check {stream.name}") as step:
        results = [
            prove_ledger(session.lake, stream, since_batch=since),
            *run_contract(session.lake, contract, key, since_batch=since),
        ]
        say_checks(step, results)
    note_raw_checks(session, stream, results, run_id=run_id, began=checking_s)
    if since != newest and all(result.passed for result in results):
        checked.advance({stream.name: newest})
    if newest and not any(breaks(result) for result in results):
        session.released[stream.name] = newest
    results += incomplete_results(session.lake, stream)  # of senders: it says nothing about the batch
    spent = {CPU_METADATA: round(time.process_time() - began, 3)}
    return Landed(_lag(stream, report, log) | _metadata(report, session) | spent, results)


def _load(session: LakeSession, stream: Stream, log: Log, *, run_id: str) -> BatchReport:
    """Land a batch, and say so to whoever follows."""
    began = time.time()
    try:
        report = land_traced(session.ingestor, stream, log, settings=session.settings, trace=session.trace)
    except StreamBusy:  # whoever is at it lands the batch
        raise
    except Exception as error:
        note_load(session, stream, run_id=run_id, began=began, error=error)
        raise
    note_load(session, stream, run_id=run_id, began=began, report=report)
    return report


def size_metadata(size: TableSize | None) -> dict[str, int]:
    """A table's rows and bytes as Dagster's pages show and plot them; nothing of what has none."""
    return {} if size is None else {"dagster/row_count": size.rows, "table_bytes": size.bytes}


def _lag(stream: Stream, report: BatchReport, log: Log) -> dict[str, Any]:
    """What the batch left unread, as of when it was planned, and how old the oldest of it is now."""
    lag: dict[str, Any] = {"lag_events": report.lag_events}
    with suppress(MillraceError):  # the batch is in the lake; only its page lacks a figure
        found, now = log.first_times(report.unread).values(), utc_now()
        known = [believed(each, received_at=now, tolerance=stream.clock_tolerance) for each in found]
        times = [each for each in known if each is not None]
        if times or not report.unread:
            oldest = min(times, default=now)
            lag["oldest_unread_seconds"] = round(max(0.0, (now - oldest).total_seconds()), 1)
    return lag


def _metadata(report: BatchReport, session: LakeSession) -> dict[str, Any]:
    """A batch as the asset's page shows it."""
    windows = TableSchema([TableColumn("partition"), TableColumn("start", "int"), TableColumn("end", "int")])
    table = f"raw.{report.stream}"
    metadata: dict[str, Any] = {
        **size_metadata(session.sizes.of([table]).get(table)),
        "batch_events_read": report.events_read,
        "batch_events_landed": report.events_landed,
        "batch_events_rejected": report.events_rejected,
        "batch_bytes_read": report.bytes_read,
        "stalls": report.stalls,
        "seconds": MetadataValue.json(dict(report.seconds)),
        "snapshot_id": session.lake.snapshot_id(),
        "positions": MetadataValue.table(
            [
                TableRecord({"partition": name, "start": window.start, "end": window.end})
                for name, window in sorted(report.windows.items())
            ],
            schema=windows,
        ),
    }
    if report.notes:
        metadata["stopped"] = "; ".join(report.notes)
    if report.batch_id is not None:
        metadata |= {"batch_id": report.batch_id, "load_id": str(report.load_id)}
    return metadata
