"""How large the lake's tables are, from what DuckLake knows of their files: no data is read.

DuckLake's own statistics of a table count deleted rows too; here they are taken off.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg2
from psycopg2 import extensions, sql

from ingestion.errors import MillraceError
from ingestion.lake.catalog import connect_catalog
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.settings import Settings

_SIZES = """
with wanted as (
    select tables.table_id, schemas.schema_name || '.' || tables.table_name as name
    from {0}.ducklake_table as tables
    join {0}.ducklake_schema as schemas using (schema_id)
    where tables.end_snapshot is null and schemas.end_snapshot is null
        and schemas.schema_name || '.' || tables.table_name = any(%s)
),
files as (
    select table_id, sum(record_count) as rows, sum(file_size_bytes) as bytes
    from {0}.ducklake_data_file join wanted using (table_id)
    where end_snapshot is null group by table_id
),
deletes as (
    select deleted.table_id, sum(deleted.delete_count) as rows, sum(deleted.file_size_bytes) as bytes
    from {0}.ducklake_delete_file as deleted
    join {0}.ducklake_data_file as data using (data_file_id)
    join wanted on wanted.table_id = deleted.table_id
    where deleted.end_snapshot is null and data.end_snapshot is null group by deleted.table_id
)
select name,
    (coalesce(files.rows, 0) - coalesce(deletes.rows, 0))::bigint,
    (coalesce(files.bytes, 0) + coalesce(deletes.bytes, 0))::bigint
from wanted left join files using (table_id) left join deletes using (table_id)
"""


@dataclass(frozen=True)
class TableSize:
    """A table's newest version.

    Attributes:
        rows: That a query finds.
        bytes: Of the files that hold them, those that mark deleted rows included.
    """

    rows: int
    bytes: int


class TableSizes:
    """Asks over a connection that is kept. Not for sharing between threads.

    Args:
        settings: Where the catalog is.
        application_name: Of its connection.
    """

    def __init__(self, settings: Settings, *, application_name: str) -> None:
        self._settings = settings
        self._name = application_name
        self._connection: extensions.connection | None = None

    def of(self, tables: Iterable[str]) -> Mapping[str, TableSize]:
        """Table → its size; views and what is not there are left out.

        It is for display: a catalog that does not answer gives none.

        Args:
            tables: Names as in raw.orders.
        """
        try:
            if self._connection is None:
                self._connection = connect_catalog(self._settings, application_name=self._name)
            with self._connection.cursor() as cursor:
                cursor.execute(sql.SQL(_SIZES).format(sql.Identifier(METADATA_SCHEMA)), (list(tables),))
                return {name: TableSize(rows, size) for name, rows, size in cursor.fetchall()}
        except (psycopg2.Error, MillraceError):
            self.close()
            return {}

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
