"""dlt, on the connection of an open lake and inside a transaction that somebody else ends (loader.py).

dlt by itself opens and attaches several connections per load and commits rows, state and `_dlt_loads` apart.
Importing it takes a third of a second, so only who loads does.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.destinations.impl.ducklake.configuration import DuckLakeClientConfiguration, DuckLakeCredentials
from dlt.destinations.impl.ducklake.ducklake import DuckLakeClient
from dlt.destinations.impl.ducklake.factory import ducklake
from dlt.destinations.impl.ducklake.sql_client import DuckLakeSqlClient
from dlt.pipeline.exceptions import PipelineStepFailed as PipelineStepFailed

from ingestion.faultpoints import faultpoint
from ingestion.lake.lake import CATALOG_NAME, Lake

ROWS_A_GROUP = 50_000
"""Of dlt's files. DuckDB reads and compresses each group on one thread, and all of them into one file."""

_CONFIG: dict[str, Any] = {
    "runtime": {"dlthub_telemetry": False, "log_level": "ERROR", "request_timeout": 10},
    "extract": {"workers": 1},
    "normalize": {"workers": 1, "parquet_normalizer": {"add_dlt_load_id": True}},
    "load": {
        "workers": 1,
        "delete_completed_jobs": True,
        "raise_on_failed_jobs": True,
        "raise_on_max_retries": 1,
    },
    # Written once, read once, deleted: compressing it costs more than all the rest of writing it.
    "data_writer": {"compression": "none", "row_group_size": ROWS_A_GROUP},
    "restore_from_destination": False,
}


def _configure() -> None:
    """Make `_CONFIG` all that dlt knows in this process.

    By itself it asks the environment first, down to names without a section: a `WORKERS=0` that somebody
    set for another program, or a `.dlt/config.toml` in some folder, would change how batches are loaded.
    """
    context = Container()[PluggableRunContext]
    context.providers = ConfigProvidersContainer([CustomLoaderDocProvider("millrace", lambda: _CONFIG)])
    context.context.reset_config()


_configure()


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
        self._known: dict[str, Any] = config.known_schemas

    def get_stored_schema_by_hash(self, version_hash: str) -> Any:
        """dlt's schema that the lake has under a hash. dlt asks with every load, and the answer stays."""
        if version_hash not in self._known:
            found = super().get_stored_schema_by_hash(version_hash)
            if found is None:
                return None
            self._known[version_hash] = found
        return self._known[version_hash]


def destination(lake: Lake) -> Any:
    """dlt's ducklake destination, bound to an open lake."""
    known_schemas: dict[str, Any] = {}

    class client(_SharedClient):  # noqa: N801 - dlt derives names from it
        def __init__(self, schema: dlt.Schema, config: Any, capabilities: Any) -> None:
            config.shared_connection, config.known_schemas = lake.connection, known_schemas
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


def pipeline(stream: str, *, destination: Any, schema: str, folder: Path) -> Any:
    """A stream's pipeline; what one of its name left in the folder is gone.

    Args:
        stream: Names the pipeline and dlt's schema.
        destination: Of the lake.
        schema: Of the tables in the lake.
        folder: Where it works.
    """
    return dlt.pipeline(stream, destination=destination, dataset_name=schema, pipelines_dir=str(folder))


def source(stream: str, tables: Mapping[str, pa.Table]) -> Any:
    """What a pipeline extracts: tables that are not empty."""
    resources = [dlt.resource([table], name=name) for name, table in tables.items() if table.num_rows]
    return dlt.source(lambda: resources, name=stream)()
