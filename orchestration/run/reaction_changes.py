"""Takes the ledger of reactions into the lake: ops.reactions, a row for each change of an alert.

The table itself says how far it is, so that a lake that was away, or was restored, gets what it lacks, and a
change is never there twice.
"""

import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.errors import MillraceError, StreamBusy
from ingestion.file_lock import lock_file
from ingestion.lake.lake import Lake
from ingestion.log.envelope import UTC_MICROSECONDS
from orchestration.reactions.entries import LEDGER_FILE
from orchestration.reactions.history import Change, note_taken, read_changes

TABLE = ("ops", "reactions")
_LOCK = Path("conditions") / "reactions.lock"
_SCHEMA = pa.schema(
    [
        ("ledger", pa.string()),
        ("number", pa.int64()),
        ("key", pa.string()),
        ("reaction", pa.string()),
        ("about", pa.string()),
        ("event", pa.string()),
        ("name", pa.string()),
        ("subject", pa.string()),
        ("severity", pa.string()),
        ("state", pa.string()),
        ("changed_at", UTC_MICROSECONDS),
        ("attempts", pa.int32()),
        ("answer", pa.string()),
        ("batch", pa.string()),
        ("noted_at", UTC_MICROSECONDS),
    ]
)
_MAKE = """
create table if not exists ops.reactions (
    ledger varchar, number bigint, key varchar, reaction varchar, about varchar, event varchar, name varchar,
    subject varchar, severity varchar, state varchar, changed_at timestamptz, attempts integer,
    answer varchar, batch varchar, noted_at timestamptz
)
"""
_log = logging.getLogger(__name__)


class ReactionChanges:
    """For one run.

    Args:
        lake: The lake, which may be written.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake, self._file = lake, lake.settings.data_dir / LEDGER_FILE
        self._seen: tuple[int, int] | None = None

    def take(self) -> int:
        """Take what the lake lacks; what goes wrong is logged, and the next call tries again.

        Returns:
            How many rows were added.
        """
        try:
            found = self._file.stat()
        except OSError:
            return 0  # nothing was ever noted
        seen = (found.st_mtime_ns, found.st_size)
        if seen == self._seen:
            return 0
        try:
            fd = lock_file(self._lake.settings.data_dir / _LOCK, what="the ledger of reactions")
        except (OSError, StreamBusy):
            return 0  # another run takes it
        try:
            added = self._take()
        except (MillraceError, duckdb.Error, OSError) as error:
            _log.warning("The ledger of reactions was not taken into the lake: %s", error)
            return 0
        finally:
            os.close(fd)
        self._seen = seen
        return added

    def _take(self) -> int:
        changes = list(read_changes(self._lake.settings.data_dir))
        if not changes:
            return 0
        connection, ledger = self._lake.connection, changes[0].ledger
        if TABLE not in self._lake.tables():
            connection.execute("create schema if not exists ops")
            connection.execute(_MAKE)
        newest = "select coalesce(max(number), 0) from ops.reactions where ledger = ?"
        ((newest_number,),) = self._lake.query(newest, [ledger])
        fresh = [_row(change) for change in changes if change.number > newest_number]
        if fresh:
            table = pa.Table.from_pylist(fresh, schema=_SCHEMA)
            connection.register("reaction_changes", table)
            try:
                connection.execute("insert into ops.reactions by name select * from reaction_changes")
            finally:
                connection.unregister("reaction_changes")
        note_taken(self._lake.settings.data_dir, ledger=ledger, number=changes[-1].number)
        return len(fresh)


def _row(change: Change) -> dict[str, Any]:
    noted = change.noted
    content: dict[str, Any] = noted.get("content") or {}
    at = noted.get("at")
    noted_at = datetime.fromisoformat(str(at)) if at else None
    return {
        "ledger": change.ledger,
        "number": change.number,
        "key": change.key,
        "reaction": noted.get("reaction"),
        "about": noted.get("about"),
        **{name: content.get(name) for name in ("event", "name", "subject", "severity")},
        "state": change.state,
        "changed_at": change.changed_at,
        "attempts": change.attempts,
        "answer": change.answer,
        "batch": change.batch or None,
        "noted_at": noted_at,
    }
