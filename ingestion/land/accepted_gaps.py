"""Gaps in the numbers of senders that an operator accepts as lost: rows of raw._accepted_gaps.

A row holds for the gaps that had been noticed by a moment; a later one is reported again.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb

from ingestion.clock import utc_now
from ingestion.errors import ConfigError
from ingestion.lake.flushing import flush
from ingestion.lake.lake import Lake
from ingestion.lake.storage import storage_of
from ingestion.lake.tables import ACCEPTED_GAPS

_GAPS = """
select count(*), coalesce(sum(missing), 0)::bigint, max(opened_at)
from marts.ops_sequence_gaps
where stream = $stream and state in ('open', 'partly') and ($sender is null or sender = $sender)
"""


def accept_gaps(
    lake: Lake, stream: str, *, note: str, sender: str | None = None, clock: Callable[[], datetime] = utc_now
) -> tuple[int, int]:
    """Accept the gaps of a stream that are open now.

    Args:
        lake: The lake, prepared.
        stream: The stream.
        note: Why.
        sender: Of this sender only.
        clock: Returns the present, UTC.

    Returns:
        How many gaps, and how many numbers they lack.

    Raises:
        ConfigError: The note is empty.
        StorageError: The disk refused.
    """
    if not note.strip():
        raise ConfigError("accepting gaps needs a note that says why they need no more attention")
    connection = lake.connection
    connection.execute("begin")
    try:
        gaps, numbers, until = connection.execute(_GAPS, {"stream": stream, "sender": sender}).fetchall()[0]
        if gaps:
            row = [stream, sender, until, clock(), note.strip()]
            connection.execute(f"insert into raw.{ACCEPTED_GAPS} values (?, ?, ?, ?, ?)", row)
            _flush(lake)
        connection.execute("commit")
    except BaseException as error:
        lake.close()  # also rolls back
        if isinstance(error, duckdb.Error):
            raise lake.explain(error) from None
        raise
    return int(gaps), int(numbers)


def _flush(lake: Lake) -> None:
    """Flush the table's files before the commit: DuckDB flushes none."""
    if storage_of(lake.settings).linkable:
        found = lake.connection.execute(f"select distinct filename from raw.{ACCEPTED_GAPS}").fetchall()
        flush([Path(path) for (path,) in found], folder=Path(lake.settings.resolved_lake_path))
