"""The third-party libraries a run needs, imported once by the keeper, and kept from starting threads.

Nothing of the project itself: the template loads that, so that it can be replaced without these seconds.
"""

from __future__ import annotations

import importlib
import os

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
    "dagster_dbt",
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
    "kafka",
    "paho.mqtt.client",
    "psycopg2",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql",
)


def preload() -> list[str]:
    """Import the libraries and run one empty job, which loads what Dagster imports only on first use.

    Returns:
        One sentence for each library that could not be imported; runs that need it import it themselves.
    """
    os.environ.update(_QUIET)
    complaints = []
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            complaints.append(f"{name} was not preloaded: {error}.")
    _run_an_empty_job()
    return complaints


def _run_an_empty_job() -> None:
    from dagster import DagsterInstance, asset, materialize

    @asset
    def nothing() -> None: ...

    silence = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with DagsterInstance.ephemeral() as instance:
        materialize([nothing], instance=instance, run_config=silence)
