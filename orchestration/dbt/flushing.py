"""After each of dbt's commits, what it wrote into the lake is flushed: DuckDB writes files and never does.

dbt's transaction does not tell which files it has written, the catalog does afterwards. So it is after the
commit, within milliseconds, not before: docs/delivery.md says what that leaves.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt_common.exceptions import DbtRuntimeError

from ingestion.errors import StorageError
from ingestion.lake.flushing import flush
from ingestion.lake.versions import METADATA_SCHEMA

_NEW = f"""
with files as (
    select table_id, path, path_is_relative, begin_snapshot from {METADATA_SCHEMA}.ducklake_data_file
    where begin_snapshot > {{since}}
    union all
    select table_id, path, path_is_relative, begin_snapshot from {METADATA_SCHEMA}.ducklake_delete_file
    where begin_snapshot > {{since}}
)

select distinct
    files.begin_snapshot,
    case when files.path_is_relative then concat(schemas.path, tables.path) else '' end || files.path as path
from files
inner join {METADATA_SCHEMA}.ducklake_table as tables using (table_id)
inner join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
where schemas.schema_name <> 'raw' or tables.table_name in ('_editions', '_conflicts')
"""
"""What ingestion loads is flushed before its commit (ingestion/lake/flushing.py)."""
_WHERE = f"select value from {METADATA_SCHEMA}.ducklake_metadata where key = 'data_path'"
_NEWEST = f"select coalesce(max(snapshot_id), 0) as newest from {METADATA_SCHEMA}.ducklake_snapshot"


class Flusher:
    """Flushes what the lake has got since it last looked.

    Args:
        connection: DuckDB's, with the lake attached for writing.
        alias: The lake's name in it.
    """

    def __init__(self, connection: Any, alias: str) -> None:
        self._alias = alias
        self._folder = str(self._ask(connection, _WHERE)[0][0])
        self._since = int(self._ask(connection, _NEWEST)[0][0])

    def flush(self, connection: Any) -> None:
        """Flush the files that commits have named since the last call.

        Args:
            connection: DuckDB's, or a cursor of it, outside of a transaction.

        Raises:
            StorageError: The disk refused.
        """
        if "://" in self._folder:
            return
        found = self._ask(connection, _NEW.format(since=self._since))
        if found:
            folder = Path(self._folder)
            flush([folder / path for _, path in found], folder=folder, may_be_gone=True)
            self._since = max(int(snapshot) for snapshot, _ in found)

    def _ask(self, connection: Any, query: str) -> list[tuple[Any, ...]]:
        quoted = query.replace("'", "''")
        sql = f"select * from postgres_query('__ducklake_metadata_{self._alias}', '{quoted}')"
        rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return rows


def flush_after_commits(flusher: Flusher, credentials: Any) -> None:
    """Have each commit of dbt's to this lake, in this process, followed by a flush.

    A process that goes on to another target, another project's for example, commits there without it.

    Args:
        flusher: Of the connection that is open now; it takes the place of an earlier one.
        credentials: What that connection was opened with. dbt-duckdb opens another for any that differ.
    """
    original: Callable[[Any], Any] = getattr(
        DuckDBConnectionManager.commit, "original", DuckDBConnectionManager.commit
    )

    def commit(manager: Any) -> Any:
        connection = original(manager)
        if connection.credentials != credentials:
            return connection
        try:
            flusher.flush(connection.handle.cursor())
        except StorageError as error:
            raise DbtRuntimeError(
                f"{error}; a power failure may take the newest of what was just built: build it with "
                "--full-refresh then"
            ) from None
        return connection

    commit.original = original  # type: ignore[attr-defined]
    DuckDBConnectionManager.commit = commit
