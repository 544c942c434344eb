"""The lake: a DuckDB connection with the DuckLake attached as `lake`, its tables and its options.

Loading is in loader.py, the catalog server in catalog.py, how DuckDB starts in engine.py, the tables of raw
in tables.py, what wrote the lake in versions.py.
"""

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from ingestion.errors import CatalogUnavailable, ConfigError, MillraceError, StorageError
from ingestion.faultpoints import faultpoint
from ingestion.lake.catalog import (
    answered,
    catalog_parameters,
    connect_catalog,
    lock_preparation,
    lock_session,
    prepare_catalog,
    process_name,
)
from ingestion.lake.claim import claim_lake
from ingestion.lake.engine import UNVERIFIED, engine_config, install_extensions, secret_directory
from ingestion.lake.first_rows import write_first_rows
from ingestion.lake.indexes import index_catalog
from ingestion.lake.storage import storage_of
from ingestion.lake.tables import LEDGER, create_tables, is_ready
from ingestion.lake.versions import (
    METADATA_SCHEMA,
    LakeVersion,
    note_new,
    read_versions,
    require_current,
    require_known,
)
from ingestion.settings import Settings

CATALOG_NAME = "lake"
_SESSION_CREDENTIALS = "millrace_session"  # another name than the published one: DuckDB refuses two alike
WATCHER_SECONDS = 300.0
"""How long those who watch the lake keep a connection: under load it grows by a MiB a minute."""
_SECRET_KEYS = {"host": "HOST", "port": "PORT", "dbname": "DATABASE", "user": "USER", "password": "PASSWORD"}
_RELATIONS = f"""
select schema_name, name
from (
    select schema_id, table_name as name from {METADATA_SCHEMA}.ducklake_table where end_snapshot is null
    union all
    select schema_id, view_name from {METADATA_SCHEMA}.ducklake_view where end_snapshot is null
) as relations
inner join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
where schemas.end_snapshot is null
"""
_CONNECTION_LOST = ("server closed the connection", "terminating connection", "no connection to the server")


class Lake:
    """One process's door to the lake. Opens on first use; not for sharing between threads.

    Args:
        settings: Where catalog and data are.
        read_only: For readers: refuses every write.
        renew_seconds: For those who look again and again: a connection older than this is replaced at its
            next use, for DuckDB keeps what it has learnt of each version and file that it read.
        time_travel: For those who read versions of before, or the changes between two. DuckLake 1.5.5 plans
            such reads by statistics of the newest version, in which upkeep may have rewritten what was
            deleted since: rows go missing, or numbers are cut to a byte (ducklake#1377, corrected after it).
            Without DuckDB's use of statistics they are right; `count(*)` then opens each file's footer.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read_only: bool = False,
        renew_seconds: float = math.inf,
        time_travel: bool = False,
    ) -> None:
        self.settings = settings
        self.application_name = process_name()
        self._read_only, self.time_travel = read_only, time_travel
        self._renew_seconds, self._opened_s = renew_seconds, 0.0
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection; `lake` is attached and current, the session's time zone is UTC.

        Raises:
            CatalogUnavailable: The catalog does not answer.
            LakeTooNew: A newer release has written the lake.
            LakeClaimed: It is opened for writing, and its folder belongs to another catalog.
        """
        now = time.monotonic()
        if self._connection is not None and now - self._opened_s >= self._renew_seconds:
            self.close()
        if self._connection is None:
            self._connection, self._opened_s = self._open(), now
        return self._connection

    def _open(self) -> duckdb.DuckDBPyConnection:
        parameters, storage = catalog_parameters(self.settings), storage_of(self.settings)
        require_known(self.versions(), self.place)
        if not self._read_only:
            claim_lake(self.settings)
        connection = duckdb.connect(":memory:", config=engine_config(self.settings.data_dir) | UNVERIFIED)
        try:
            install_extensions(connection)
            faultpoint("lake.extensions")
            connection.execute("set TimeZone = 'UTC'")
            connection.execute("set enable_progress_bar = false")  # it would stand in what a command prints
            if storage.linkable:
                # The system keeps files that were read; a copy of our own would grow with each new one.
                connection.execute("set enable_external_file_cache = false")
            if self.time_travel:
                connection.execute("set disabled_optimizers = 'statistics_propagation'")
            for extension in storage.extensions:
                connection.execute(f"load {extension}")
            if (secret := storage.secret(self.settings)) is not None:
                connection.execute(secret)
            connection.execute(_catalog_secret(parameters, f"temporary secret {_SESSION_CREDENTIALS}"))
            options = [
                f"META_SECRET {_SESSION_CREDENTIALS}",
                f"METADATA_SCHEMA '{METADATA_SCHEMA}'",
                f"DATA_PATH {_quote(self.settings.resolved_lake_path)}",
                "DATA_INLINING_ROW_LIMIT 0",
            ] + (["READ_ONLY"] if self._read_only else [])
            extra = _extra_parameters(parameters) | {"application_name": self.application_name}
            path = _quote("ducklake:postgres:" + _keywords(extra))
            connection.execute(f"attach {path} as {CATALOG_NAME} ({', '.join(options)})")
            faultpoint("lake.attached")
            connection.execute(f"use {CATALOG_NAME}")
        except duckdb.Error as error:
            connection.close()
            raise self.explain(error) from None
        return connection

    def explain(self, error: duckdb.Error) -> MillraceError:
        """What keeps the lake from being read, as a sentence; the catalog's own refusal goes first.

        Raises:
            CatalogUnavailable: The catalog does not answer, which is the cause then.
        """
        connect_catalog(self.settings, application_name=self.application_name).close()
        text = str(error).splitlines()[0]
        if "DATA_PATH" in text:
            return ConfigError(
                f"the lake was made with another data path than MILLRACE_LAKE_PATH says: {text}"
            )
        if self._read_only and "exist" in text:
            return CatalogUnavailable(
                "the lake has not been made yet: 'millrace up' or 'millrace ingest' makes it"
            )
        if any(said in text for said in _CONNECTION_LOST):
            return CatalogUnavailable("the catalog went away during a query and is back; it is tried again")
        return StorageError(f"the lake cannot be read: {text}; 'millrace doctor' checks each part")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query on the lake."""
        return self.connection.execute(sql, parameters).fetchall()

    def query_arrow(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """A query's result as columns."""
        return self.connection.execute(sql, parameters).to_arrow_table()

    def snapshot_id(self) -> int:
        """The lake's newest snapshot; `AT (VERSION => id)` reads as of it."""
        return int(self.query(f"select id from {CATALOG_NAME}.current_snapshot()")[0][0])

    def tables(self) -> frozenset[tuple[str, str]]:
        """Schema and name of every table and view that is there now; of the catalog, in a few milliseconds.

        DuckDB's information schema loads the statistics of each table first.
        """
        sql = f"select * from postgres_query('__ducklake_metadata_{CATALOG_NAME}', '{_RELATIONS}')"
        return frozenset((schema, name) for schema, name in self.query(sql))

    def prepare(self, streams: Iterable[str]) -> None:
        """Create what is missing of schema, tables and options. Safe to call from many processes.

        Where nothing is missing it costs one read of the catalog.

        Raises:
            LakeClaimed: The lake's folder belongs to another catalog.
            LakeTooNew: A newer release has written the lake.
            LakeOutdated: An older one has; prepare_lake (ingestion/migrate) migrates it.
        """
        names = list(streams)
        session = lock_session(self.settings, application_name=self.application_name)
        with closing(session) as guard, answered(self.settings):
            claim_lake(self.settings, guard)
            if is_ready(guard, names):
                return
            prepare_catalog(guard)
            with guard.cursor() as cursor:
                lock_preparation(cursor)
                known = {name for schema, name in self.tables() if schema == "raw"}
                if LEDGER not in known:
                    note_new(cursor)
                    faultpoint("lake.noted")
                require_current(read_versions(cursor), self.place)
            create_tables(self.connection, names, known=known)
            faultpoint("lake.tables")
            folder = Path(self.place) if storage_of(self.settings).linkable else None
            write_first_rows(self.connection, guard, folder=folder)
            index_catalog(guard, METADATA_SCHEMA)

    @property
    def place(self) -> str:
        """Where the lake is, for messages."""
        return self.settings.resolved_lake_path

    def versions(self) -> tuple[LakeVersion, ...]:
        """Which releases wrote the lake; none is noted in one of an early release.

        Raises:
            CatalogUnavailable: The catalog does not answer.
        """
        session = connect_catalog(self.settings, application_name=self.application_name)
        with closing(session) as guard, answered(self.settings), guard.cursor() as cursor:
            return read_versions(cursor)

    def publish_access(self) -> None:
        """Write DuckDB secrets so that dbt, the DuckDB shell and BI tools reach the lake by name.

        They go to <data_dir>/secrets/duckdb, readable by the owner only; afterwards
        `attach 'ducklake:millrace' as lake` is all that a client says.
        """
        parameters = catalog_parameters(self.settings)
        folder = secret_directory(self.settings.data_dir)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        config = engine_config(self.settings.data_dir) | UNVERIFIED
        with duckdb.connect(":memory:", config=config) as connection:
            install_extensions(connection)
            connection.execute(_catalog_secret(parameters, "persistent secret millrace_catalog"))
            connection.execute(
                "create or replace persistent secret millrace (type ducklake, "
                f"metadata_path {_quote(_keywords(_extra_parameters(parameters)))}, "
                f"metadata_schema '{METADATA_SCHEMA}', data_path {_quote(self.settings.resolved_lake_path)}, "
                "metadata_parameters map {'TYPE': 'postgres', 'SECRET': 'millrace_catalog'})"
            )

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        if self._connection is not None:
            with suppress(duckdb.Error):
                # DuckDB aborts the process when closing has to roll back on a catalog that is gone.
                self._connection.rollback()
            self._connection.close()
            self._connection = None
            self.application_name = process_name()  # so that the next writer lock fences what was left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _catalog_secret(parameters: dict[str, str], kind_and_name: str) -> str:
    known = ", ".join(
        f"{_SECRET_KEYS[key]} {_quote(parameters[key])}" for key in _SECRET_KEYS if key in parameters
    )
    return f"create or replace {kind_and_name} (type postgres, {known})"


def _extra_parameters(parameters: dict[str, str]) -> dict[str, str]:
    """What a DuckDB secret has no key for (passfile, sslmode …); goes into the attach path."""
    return {key: value for key, value in parameters.items() if key not in _SECRET_KEYS}


def _keywords(parameters: dict[str, str]) -> str:
    """libpq's keyword form, values quoted as its documentation says."""
    escaped = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in parameters.items()}
    return " ".join(f"{key}='{value}'" for key, value in escaped.items())


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
