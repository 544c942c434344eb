"""The first row of a table, deleted at once: DuckLake plans quickly only on a table that has held one.

Of one that never has, the catalog holds no statistics, and DuckLake asks for them in vain twice with each
plan: 25 ms of CPU where 3 do. Most lakes have no rejects, and each batch is proven against that table
(docs/performance.md).
"""

from pathlib import Path

import duckdb
from psycopg2 import extensions

from ingestion.faultpoints import faultpoint
from ingestion.lake.flushing import flush
from ingestion.lake.versions import METADATA_SCHEMA

MAY_STAY_EMPTY = {
    "rejects": "stream",
    "reject_resolutions": "stream",
    "_conflicts": "table_name",
    "_accepted_gaps": "stream",
    "_profiles": "stream",
}
"""Tables of raw → their first column, which is never the empty text but in such a row."""

_PARTITIONED = {"rejects": "ingested_at"}
"""Those in folders by day → by which column."""

LACKING = f"""
select tables.table_name
from {METADATA_SCHEMA}.ducklake_table as tables
join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
where
    schema_name = 'raw' and tables.end_snapshot is null and schemas.end_snapshot is null
    and tables.table_name = any(%(may_stay_empty)s) and (
        not exists (
            select from {METADATA_SCHEMA}.ducklake_table_stats as known
            where known.table_id = tables.table_id
        )
        or exists (
            select from {METADATA_SCHEMA}.ducklake_file_column_stats as first_column
            join {METADATA_SCHEMA}.ducklake_data_file as files using (data_file_id)
            where
                first_column.table_id = tables.table_id and first_column.column_id = 1
                and first_column.min_value = '' and files.end_snapshot is null
                and not exists (
                    select from {METADATA_SCHEMA}.ducklake_delete_file as deletes
                    where deletes.data_file_id = files.data_file_id and deletes.end_snapshot is null
                )
        )
    )
"""
"""Those that have held no row, and those that hold that first one: a process died between the two commits."""


def write_first_rows(
    connection: duckdb.DuckDBPyConnection, catalog: extensions.connection, *, folder: Path | None
) -> None:
    """Write and delete what is lacking; safe to be killed anywhere, and beside writers.

    Args:
        connection: With the lake attached and current.
        catalog: A connection to the catalog's database, in autocommit mode.
        folder: The lake's; None where its files need no flush.

    Raises:
        StorageError: The disk refused.
        duckdb.Error: The lake did.
    """
    with catalog.cursor() as cursor:
        cursor.execute(LACKING, {"may_stay_empty": list(MAY_STAY_EMPTY)})
        lacking = [name for (name,) in cursor.fetchall()]
    for name in lacking:
        table, column = f"raw.{name}", MAY_STAY_EMPTY[name]
        dated = f", now() as {_PARTITIONED[name]}" if name in _PARTITIONED else ""
        connection.execute("begin")
        try:
            connection.execute(f"insert into {table} by name select '' as {column}{dated}")
            if folder is not None:
                found = connection.execute(f"select distinct filename from {table} where {column} = ''")
                flush([Path(path) for (path,) in found.fetchall()], folder=folder)
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
        faultpoint("lake.first_row")
        # Its file holds nothing else: that is left out as a whole, and nothing is written that wants a flush.
        connection.execute(f"delete from {table} where {column} = ''")
