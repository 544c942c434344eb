"""Files beside the lake that nobody needs any more: spool below the ledger, dead batches' folders, old logs.

Files of the lake itself belong to maintenance.py.
"""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ingestion.declare.logs import open_spools
from ingestion.declare.stream import Stream
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.log.positions import find_breaks
from ingestion.spool.log import SpoolLog


def trim_spool(lake: Lake, stream: Stream) -> int:
    """Delete the segments of a stream's spools, if it has any, that lie wholly below the ledger's position.

    A batch does this by itself; here only when its confirmation was missed. A spool that was made again, or
    put back from a copy, is left alone: its positions are not the ledger's.

    Returns:
        How many segments were deleted.
    """
    return sum(_trim(lake, stream, log) for log in open_spools(stream, lake.settings))


def _trim(lake: Lake, stream: Stream, log: SpoolLog) -> int:
    try:
        bounds = log.bounds().get(log.partition)
        position = read_state(lake, stream.name).positions.get(log.partition)
        if bounds is None or position is None:
            return 0
        if find_breaks(log, {log.partition: position}, {log.partition: bounds}):
            return 0  # not the spool that was read: whatever it holds may be new
        return log.trim(position.next)
    finally:
        log.close()


def dead_work_folders(lake: Lake, *, before: datetime) -> Iterator[Path]:
    """Folders of batches in which nothing happened since a time (UTC); a live batch may be among them."""
    work = lake.settings.data_dir / "work"
    if work.is_dir():
        yield from (path for path in sorted(work.iterdir()) if path.is_dir() and _is_older(path, before))


def remove_work_folder(lake: Lake, folder: Path) -> None:
    """Remove what a dead batch left.

    Raises:
        StreamBusy: Its batch lives.
    """
    with writer_lock(lake.settings, folder.name, application_name=lake.application_name):
        shutil.rmtree(folder, ignore_errors=True)


def old_logs(data_dir: Path, *, before: datetime) -> list[Path]:
    """Logs that were rotated away before a time (UTC); those that are written to stay."""
    return [path for path in sorted((data_dir / "logs").rglob("*.log.1")) if _is_older(path, before)]


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return path.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False
