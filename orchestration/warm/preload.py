"""The third-party libraries a run needs, imported once by the keeper, and kept from starting threads.

Nothing of the project itself: the template loads that, so that it can be replaced without these seconds.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from orchestration.garbage import uncollected
from orchestration.warm.forking import other_threads

# Importing must not start a thread, or forking would not be safe. Telemetry is off for its own sake, too.
_QUIET = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "SODA_CORE_TELEMETRY_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
}

_LIBRARIES = (
    "dagster",
    "dagster._cli.api",
    "dagster._core.execution.plan.execute_plan",
    "dagster._core.launcher.default_run_launcher",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.noop_compute_log_manager",
    "dagster._core.storage.runs.sqlite",
    "dagster._core.storage.event_log.sqlite",
    "dagster._core.storage.schedules.sqlite",
    "dagster_postgres",
    "dbt.cli.main",
    "dbt.task.build",
    "dbt.adapters.duckdb",
    "dlt",
    "dlt.destinations.impl.ducklake.ducklake",
    "duckdb",
    "pyarrow.parquet",
    "pyarrow.compute",
    "soda_core.contracts",
    "soda_duckdb",
    "psycopg2",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql",
)


def preload(clients: Sequence[str] = ()) -> list[str]:
    """Import the libraries and run one empty job, which loads what Dagster imports only on first use.

    Args:
        clients: Modules of brokers' clients; whoever starts the process knows them.

    Returns:
        Sentences for the log: libraries that were not imported, threads that make forks unsafe.
    """
    os.environ.update(_QUIET)
    complaints = []
    with uncollected():
        for name in (*_LIBRARIES, *clients):
            try:
                importlib.import_module(name)
            except ImportError as error:
                complaints.append(f"{name} was not preloaded: {error}.")
        _run_an_empty_job()
    end_library_threads()
    complaints += [f"A library started the thread {name}." for name in other_threads()]
    return complaints


def end_library_threads() -> None:
    """Close the connection that importing duckdb opens: it owns a thread, and is made again on use.

    To be called before a fork: closing it in the child, where its thread does not exist, aborts the process.
    """
    duckdb = sys.modules.get("duckdb")
    if duckdb is not None:
        duckdb.default_connection().close()


def _run_an_empty_job() -> None:
    from dagster import DagsterInstance, asset, materialize

    @asset
    def nothing() -> None: ...

    silence = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with DagsterInstance.ephemeral() as instance:
        materialize([nothing], instance=instance, run_config=silence)
