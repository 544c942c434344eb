"""Upkeep of the lake, for the job and the command: versions that Dagster's records refer to stay.

No Dagster here: its records are read with plain SQL (reader.py).
"""

from collections.abc import Sequence

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.upkeep.maintenance import Limits, Report, maintain
from orchestration.records.reader import DagsterRecords


def keep_up(lake: Lake, streams: Sequence[Stream], *, dry_run: bool = False) -> Report:
    """Upkeep of the lake; versions in which a check failed stay, because the SQL of its result reads them.

    Args:
        lake: Used by nothing else during the call.
        streams: The declared streams.
        dry_run: Report what would be done, and do nothing.

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
