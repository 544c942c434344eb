"""Takes the noted minutes of metrics into the lake, ops.metrics, and forgets what is older than a week.

A row for each metric and minute. The table itself says how far it is: a minute is never there twice.
"""

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from ingestion.errors import MillraceError, StreamBusy
from ingestion.file_lock import lock_file
from ingestion.lake.lake import Lake
from ingestion.log.envelope import UTC_MICROSECONDS
from orchestration.records.metric_samples import Minute, noted_minutes

TABLE = ("ops", "metrics")
KEPT_FOR = timedelta(days=7)
_SPARE = timedelta(days=1)
"""What is too old is deleted when it is a day of it: deleting each minute's rows would leave a file each."""
_LOCK = Path("metrics") / "samples.lock"
_SCHEMA = pa.schema(
    [
        ("measured_at", UTC_MICROSECONDS),
        ("name", pa.string()),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("value", pa.float64()),
    ]
)
_MAKE = """
create table if not exists ops.metrics (
    measured_at timestamptz, name varchar, labels map(varchar, varchar), value double
)
"""
_PARTS = (
    "alter table ops.metrics set partitioned by (year(measured_at), month(measured_at), day(measured_at))"
)
_log = logging.getLogger(__name__)


def take_minutes(lake: Lake) -> int:
    """Take what is noted; what goes wrong is logged, and the next call tries again.

    Args:
        lake: The lake, which may be written.

    Returns:
        How many rows were added.
    """
    data_dir = lake.settings.data_dir
    if next(noted_minutes(data_dir), None) is None:
        return 0
    try:
        fd = lock_file(data_dir / _LOCK, what="the noted metrics")
    except (OSError, StreamBusy):
        return 0  # another run takes them
    try:
        return _take(lake, list(noted_minutes(data_dir)))
    except (MillraceError, duckdb.Error, OSError) as error:
        _log.warning("Metrics were not taken into the lake: %s", str(error).splitlines()[0])
        return 0
    finally:
        os.close(fd)


def make_table(lake: Lake) -> None:
    """Create the table where it is missing, for a model that reads it before anything is noted.

    Args:
        lake: The lake, which may be written.

    Raises:
        duckdb.Error: The lake cannot be written.
    """
    if TABLE not in lake.tables():
        for statement in ("create schema if not exists ops", _MAKE, _PARTS):
            lake.connection.execute(statement)


def forget_minutes(lake: Lake, *, before: datetime | None) -> int:
    """Delete what is older than a moment, once that is a day of it.

    Args:
        lake: The lake, which may be written.
        before: The moment, UTC; None: nothing is certainly that old.

    Returns:
        How many rows were deleted.
    """
    if before is None or TABLE not in lake.tables():
        return 0
    try:
        ((oldest,),) = lake.query("select min(measured_at) from ops.metrics")
        if oldest is None or oldest >= before - _SPARE:
            return 0
        ((deleted,),) = lake.connection.execute(
            "delete from ops.metrics where measured_at < ?", [before]
        ).fetchall()
    except duckdb.Error as error:  # a run wrote meanwhile
        _log.warning("Old metrics stay until the next upkeep: %s", str(error).splitlines()[0])
        return 0
    return int(deleted)


def _take(lake: Lake, minutes: list[Minute]) -> int:
    make_table(lake)
    connection = lake.connection
    ((newest,),) = lake.query("select max(measured_at) from ops.metrics")
    rows = [
        {"measured_at": at, "name": each.name, "labels": list(each.labels.items()), "value": each.value}
        for minute in minutes
        for at in [datetime.fromtimestamp(minute.at, UTC)]
        if newest is None or at > newest
        for each in minute.samples
    ]
    if rows:
        connection.register("metric_rows", pa.Table.from_pylist(rows, schema=_SCHEMA))
        try:
            connection.execute("insert into ops.metrics by name select * from metric_rows")
        finally:
            connection.unregister("metric_rows")
    for minute in minutes:  # what is in the lake is not taken again, should this not come to its end
        minute.file.unlink(missing_ok=True)
    return len(rows)
