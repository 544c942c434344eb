"""dlt → DuckLake: one dlt load is one transaction of the lake, over a connection that stays open.

dlt by itself opens and attaches several connections per load and commits rows, state and
`_dlt_loads` apart. Here all of a load becomes visible at once or never. Proof: docs/delivery.md.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
from dlt.destinations.impl.ducklake.configuration import DuckLakeClientConfiguration, DuckLakeCredentials
from dlt.destinations.impl.ducklake.ducklake import DuckLakeClient
from dlt.destinations.impl.ducklake.factory import ducklake
from dlt.destinations.impl.ducklake.sql_client import DuckLakeSqlClient
from dlt.pipeline.exceptions import PipelineStepFailed

from ingestion.errors import BatchFailed, StorageError
from ingestion.faultpoints import faultpoint
from ingestion.lake.flushing import LOADS, VERSIONS, flush_load
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.lake.storage import storage_of

RAW_SCHEMA = "raw"

_DLT_CONFIG: dict[str, Any] = {
    "runtime.dlthub_telemetry": False,
    "runtime.log_level": "ERROR",
    "runtime.request_timeout": 10,
    "normalize.parquet_normalizer.add_dlt_load_id": True,
    # Written once, read once, deleted: compressing it costs more than all the rest of writing it.
    "data_writer.compression": "none",
    "load.delete_completed_jobs": True,
    "load.raise_on_failed_jobs": True,
    "load.raise_on_max_retries": 1,
    "load.workers": 1,
    "normalize.workers": 1,
    "extract.workers": 1,
    "restore_from_destination": False,
}


class _SharedSqlClient(DuckLakeSqlClient):
    """dlt's client on the lake's own connection, inside the transaction that `load` holds."""

    shared: Any = None

    def open_connection(self) -> Any:
        self._conn = self.shared
        return self._conn

    def close_connection(self) -> None:
        self._conn = None

    @contextmanager
    def begin_transaction(self) -> Iterator[Any]:
        yield self

    def commit_transaction(self) -> None:
        raise NotImplementedError("only Loader ends the transaction")

    rollback_transaction = commit_transaction

    @contextmanager
    def execute_query(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run a statement; an error must not roll back here, or what follows would commit alone."""
        faultpoint("loader.statement")
        parameters = args or kwargs or None
        statement = query.replace("%s", "?") if parameters else query
        try:
            yield self.cursor_impl(self._conn.execute(statement, parameters))
        except Exception as error:
            raise self._make_database_exception(error) from error


class _SharedClient(DuckLakeClient):
    def __init__(self, schema: dlt.Schema, config: DuckLakeClientConfiguration, capabilities: Any) -> None:
        super().__init__(schema, config, capabilities)
        own: Any = self.sql_client
        self.sql_client: Any = _SharedSqlClient(
            own.dataset_name, own.staging_dataset_name, config.credentials, capabilities
        )
        self.sql_client.shared = config.shared_connection


def _destination(lake: Lake) -> Any:
    """dlt's ducklake destination, bound to an open lake."""

    class client(_SharedClient):  # noqa: N801 - dlt derives names from it
        def __init__(self, schema: dlt.Schema, config: Any, capabilities: Any) -> None:
            config.shared_connection = lake.connection
            super().__init__(schema, config, capabilities)

    class millrace_lake(ducklake):  # noqa: N801
        """Resolved once: dlt asks for it some twenty times a load, and resolving is most of a small one."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._resolved: dict[Any, Any] = {}

        @property
        def client_class(self) -> type:
            return client

        def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
            return self._once(
                accept_partial,
                lambda: super(millrace_lake, self).configuration(initial_config, accept_partial),
            )

        def capabilities(self, config: Any = None, naming: Any = None) -> Any:
            return self._once(
                (config is None, type(naming)),
                lambda: super(millrace_lake, self).capabilities(config, naming),
            )

        def _once(self, key: Any, resolve: Callable[[], Any]) -> Any:
            if key not in self._resolved:
                self._resolved[key] = resolve()
            return self._resolved[key].copy()

    return millrace_lake(
        # The catalog named here is never opened: the shared connection is attached already.
        DuckLakeCredentials(
            ducklake_name=CATALOG_NAME, catalog="postgresql:///lake", storage=lake.settings.resolved_lake_path
        ),
        destination_name=CATALOG_NAME,
    )


class Loader:
    """Puts a batch's tables into raw, all or nothing.

    Args:
        lake: An open lake; its connection is used for every load.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._work_dir = lake.settings.data_dir / "work"
        self._destination = _destination(lake)
        self._settled: set[frozenset[str]] = set()
        for key, value in _DLT_CONFIG.items():
            dlt.config[key] = value

    def load(self, stream: str, tables: Mapping[str, pa.Table], *, before_commit: Any = None) -> str:
        """Load tables in one transaction.

        Args:
            stream: Names the dlt pipeline and its schema. The caller holds the stream's writer lock.
            tables: Table name in raw → rows. Empty tables are left out.
            before_commit: Called without arguments when all rows are written; may raise to stop.

        Returns:
            The load id, which stands in every row's `_dlt_load_id` and in raw._dlt_loads.

        Raises:
            StorageError: The work folder cannot be written; nothing was committed.
            BatchFailed: Nothing was committed, unless the catalog's answer to the commit was lost:
                then the next batch finds out from the ledger.
        """
        self._discard_leftovers(stream)
        try:
            pipeline = dlt.pipeline(
                stream,
                destination=self._destination,
                dataset_name=RAW_SCHEMA,
                pipelines_dir=str(self._work_dir),
            )
            pipeline.extract(_source(stream, tables), loader_file_format="parquet")
            faultpoint("loader.extracted")
            pipeline.normalize()
            faultpoint("loader.normalized")
            return self._commit(pipeline, tables, before_commit)
        except PipelineStepFailed as error:
            cause = error.__cause__ or error.exception or error
            raise BatchFailed(f"stream '{stream}': the load was rolled back: {_reason(cause)}") from error
        except duckdb.Error as error:
            raise BatchFailed(
                f"stream '{stream}': the commit failed ({_reason(error)}); the next batch finds out from the "
                "ledger whether it is in the lake: is the catalog running?"
            ) from error
        except OSError as error:
            raise StorageError(
                f"stream '{stream}': the work folder {self._work_dir} cannot be written "
                f"({error.strerror or error}); nothing was loaded: make room or repair that disk"
            ) from error
        finally:
            self._discard_leftovers(stream)

    def _commit(self, pipeline: Any, tables: Mapping[str, pa.Table], before_commit: Any) -> str:
        connection = self._lake.connection
        connection.execute("begin")
        try:
            info = pipeline.load()
            faultpoint("loader.loaded")
            written = frozenset(name for name, table in tables.items() if table.num_rows)
            self._flush(written, str(info.loads_ids[0]))
            if before_commit is not None:
                before_commit()
            connection.execute("commit")
            self._settled.add(written)
        except BaseException:
            self._lake.close()  # also rolls back; a fresh connection cannot inherit a broken state
            raise
        faultpoint("loader.committed")
        return str(info.loads_ids[0])

    def _flush(self, tables: frozenset[str], load_id: str) -> None:
        settings = self._lake.settings
        if storage_of(settings).linkable:
            # dlt notes another version of its schema with the first load of other tables, and then no more.
            own = {LOADS} if tables in self._settled else {LOADS, VERSIONS}
            folder = Path(settings.resolved_lake_path)
            flush_load(self._lake.connection, tables | own, load_id, folder=folder)

    def _discard_leftovers(self, stream: str) -> None:
        """Drop an unfinished package: its events are read again from the ledger's position."""
        shutil.rmtree(self._work_dir / stream, ignore_errors=True)


def _source(stream: str, tables: Mapping[str, pa.Table]) -> Any:
    resources = [dlt.resource([table], name=name) for name, table in tables.items() if table.num_rows]
    return dlt.source(lambda: resources, name=stream)()


def _reason(error: BaseException) -> str:
    """What went wrong, in a line: dlt hands on a whole traceback as text, whose last line names the cause."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].strip() if any("Traceback" in line for line in lines) else lines[0]
