"""The catalog's tables as files, of one instant, and back.

DuckLake's tables are copied as they are: plain SQL in, PostgreSQL's COPY text out. Backups are backup.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import extensions, sql

from ingestion.backup.instants import dump_instants, load_instants
from ingestion.errors import BackupError
from ingestion.lake.catalog import connect_catalog, process_name
from ingestion.lake.versions import METADATA_SCHEMA, read_versions, require_known
from ingestion.settings import Settings

SCHEMA_FILE = "schema.sql"
_NOT_IN_BACKUPS = "ducklake_files_scheduled_for_deletion"  # no version holds them

_CREATES = """
select relname, format('create table %%I.%%I (%%s%%s);', nspname, relname, string_agg(
    format('%%I %%s%%s', attname, format_type(atttypid, atttypmod), case when attnotnull then ' not null' end)
    , ', ' order by attnum
), (
    select string_agg(', ' || pg_get_constraintdef(oid), '') from pg_constraint
    where conrelid = pg_class.oid and contype in ('p', 'u')
))
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
where nspname = %s and relkind = 'r'
group by nspname, relname, pg_class.oid
order by relname
"""

_FILES = """
with files as (
    select table_id, path, path_is_relative, file_size_bytes from {0}.ducklake_data_file
    union all
    select table_id, path, path_is_relative, file_size_bytes from {0}.ducklake_delete_file
),

tables as (select distinct table_id, schema_id, path, path_is_relative from {0}.ducklake_table),

schemas as (select distinct schema_id, path, path_is_relative from {0}.ducklake_schema)

select
    coalesce(schemas.path, '') || coalesce(tables.path, '') || files.path, max(file_size_bytes),
    bool_and(
        files.path_is_relative and coalesce(tables.path_is_relative and schemas.path_is_relative, false)
    )
from files
left join tables using (table_id)
left join schemas using (schema_id)
group by 1
order by 1
"""


@dataclass(frozen=True)
class CatalogInstant:
    """The catalog as of one instant, while its transaction is open.

    Attributes:
        snapshot_id: The lake's newest version at that instant.
    """

    snapshot_id: int
    _cursor: extensions.cursor

    def files(self) -> dict[str, int]:
        """Every file that any version of the lake holds: path below the lake's folder → bytes."""
        self._cursor.execute(sql.SQL(_FILES).format(sql.Identifier(METADATA_SCHEMA)))
        rows = self._cursor.fetchall()
        for path, _, relative in rows:
            if not relative:
                raise BackupError(
                    f"the file {path} of the lake does not lie in its folder: write its rows into a table of "
                    "the lake, so that a backup holds them"
                )
        return {path: size for path, size, _ in rows}

    def dump(self, folder: Path) -> dict[str, int]:
        """Write each table into a folder; returns table → rows."""
        self._cursor.execute(_CREATES, (METADATA_SCHEMA,))
        creates = dict(self._cursor.fetchall())
        (folder / SCHEMA_FILE).write_text("\n".join(creates.values()) + "\n")
        rows = {}
        for table in creates:
            query = sql.SQL("copy (select * from {} where {}) to stdout").format(
                sql.Identifier(METADATA_SCHEMA, table), sql.Literal(table != _NOT_IN_BACKUPS)
            )
            with (folder / f"{table}.copy").open("wb") as file:
                self._cursor.copy_expert(query, file)
            rows[table] = self._cursor.rowcount
        dump_instants(self._cursor, folder)
        return rows


@contextmanager
def catalog_instant(settings: Settings) -> Iterator[CatalogInstant]:
    """Hold one instant of the catalog; writers are not disturbed.

    Raises:
        BackupError: There is no lake, or the server fails meanwhile.
        CatalogUnavailable: The catalog does not answer.
    """
    connection = connect_catalog(settings, application_name=process_name())
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
        with connection.cursor() as cursor:
            if not _has_lake(cursor):
                raise BackupError("there is no lake to back up: 'millrace up' or 'millrace ingest' makes it")
            query = sql.SQL("select max(snapshot_id) from {}.ducklake_snapshot")
            cursor.execute(query.format(sql.Identifier(METADATA_SCHEMA)))
            ((snapshot_id,),) = cursor.fetchall()
            yield CatalogInstant(snapshot_id, cursor)
    except psycopg2.Error as error:
        raise BackupError(f"the catalog cannot be copied ({_line(error)}); try again") from None
    finally:
        connection.close()


def load_catalog(
    settings: Settings, folder: Path, rows: dict[str, int], *, before_commit: Callable[[], None]
) -> None:
    """Make the catalog from a dump, in one transaction.

    Args:
        settings: Where the new catalog is, and where its files are.
        folder: What `dump` wrote.
        rows: Table → rows that it has to get.
        before_commit: What has to have happened before the lake is there.

    Raises:
        BackupError: There is a lake, or the dump is not whole.
        LakeTooNew: A newer release has written it.
    """
    connection = connect_catalog(settings, application_name=process_name())
    connection.autocommit = False
    schema = sql.Identifier(METADATA_SCHEMA)
    try:
        with connection.cursor() as cursor:
            if _has_lake(cursor):
                raise BackupError(
                    "the catalog holds a lake already: name an empty database in MILLRACE_CATALOG, "
                    "or with the embedded one an empty folder with --data-dir"
                )
            cursor.execute(sql.SQL("create schema {}").format(schema))
            cursor.execute((folder / SCHEMA_FILE).read_text())
            for table, expected in rows.items():
                with (folder / f"{table}.copy").open("rb") as file:
                    query = sql.SQL("copy {} from stdin").format(sql.Identifier(METADATA_SCHEMA, table))
                    cursor.copy_expert(query, file)
                if cursor.rowcount != expected:
                    raise BackupError(
                        f"{folder / table}.copy has {cursor.rowcount:,} rows and not {expected:,}: "
                        "the backup is damaged, take an older one"
                    )
            update = sql.SQL("update {}.ducklake_metadata set value = %s where key = 'data_path'")
            cursor.execute(update.format(schema), (settings.resolved_lake_path,))
            if "millrace_versions" in rows:
                require_known(read_versions(cursor), str(folder.parent))
            load_instants(cursor, folder)
        before_commit()
        connection.commit()
    except psycopg2.Error as error:
        raise BackupError(
            f"the catalog cannot be restored ({_line(error)}); nothing of it was written"
        ) from None
    finally:
        connection.close()


def _has_lake(cursor: extensions.cursor) -> bool:
    cursor.execute("select to_regnamespace(%s) is not null", (METADATA_SCHEMA,))
    return cursor.fetchone() == (True,)


def _line(error: psycopg2.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
