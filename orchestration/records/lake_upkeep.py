"""Upkeep of the lake as job and command do it: what Dagster's records still need stays. No Dagster here."""

from collections.abc import Sequence

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.land.batch import utc_now
from ingestion.upkeep.maintenance import Limits, Report, maintain
from orchestration.records.reader import DagsterRecords


def keep_up(lake: Lake, streams: Sequence[Stream], *, dry_run: bool = False) -> Report:
    """Upkeep of the lake; the versions in which a check failed stay, for its SQL reads them again.

    Args:
        lake: For this call alone.
        streams: The declared streams.
        dry_run: Say what would be done.

    Raises:
        MillraceError: As maintain does; or Dagster's storage does not answer.
    """
    now, records = utc_now(), DagsterRecords(lake.settings)
    try:
        needed = records.failed_versions(since=now - Limits().keep_snapshots)
    finally:
        records.close()
    lake.prepare(stream.name for stream in streams)
    return maintain(lake, streams, now=now, dry_run=dry_run, needed=needed)
