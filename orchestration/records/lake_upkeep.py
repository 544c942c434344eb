"""Upkeep of the lake, for the job and the command: versions that Dagster's records refer to stay.

No Dagster here: its records are read with plain SQL (reader.py).
"""

from collections.abc import Sequence

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.upkeep.ages import Ages, note_moment, this_moment
from ingestion.upkeep.maintenance import Limits, Report, maintain
from ingestion.upkeep.space import measure, note_space
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
    now, ages = utc_now(), ages_of(lake.settings, keep=not dry_run)
    records = DagsterRecords(lake.settings)
    try:
        # While no version is deleted, none has to be named.
        since = ages.before(Limits().keep_snapshots)
        needed = records.failed_versions(since=since) if since else ()
    finally:
        records.close()
    lake.prepare(stream.name for stream in streams)
    report = maintain(lake, streams, now=now, dry_run=dry_run, needed=needed, ages=ages)
    if not dry_run:
        note_space(lake.settings, measure(lake.settings, at=now.timestamp()))
    return report


def ages_of(settings: Settings, *, keep: bool = True) -> Ages:
    """What is certainly older than an age, as far as upkeep has seen the clock; notes the present.

    Args:
        settings: Names the data folder.
        keep: Whether the present is noted.
    """
    path = settings.data_dir / "upkeep" / "clock.json"
    return note_moment(path, this_moment(), steady_for=Limits().steady_for, keep=keep)
