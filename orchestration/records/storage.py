"""Dagster's PostgreSQL storage with connections that are kept.

dagster-postgres opens a connection for every event it writes, and a run writes a few hundred. It has a
switch that keeps connections open, meant for the web server; here every process uses it.
"""

from typing import Any, cast

from dagster import StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import event

_STATEMENT_MILLISECONDS = 60_000
_RECYCLE_SECONDS = 3_600
_MOST_EXTRA_CONNECTIONS = 20
_with_tables: set[str] = set()


class PooledPostgresStorage(DagsterPostgresStorage):
    """In dagster.yaml: ``storage: {custom: {module: orchestration.records.storage, class: …}}``."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        # Each of the three storages opens a connection to look for its tables: once per process is enough.
        super().__init__(
            postgres_url, should_autocreate_tables and postgres_url not in _with_tables, inst_data
        )
        _with_tables.add(postgres_url)
        for storage in (self.event_log_storage, self.run_storage, self.schedule_storage):
            storage.optimize_for_webserver(_STATEMENT_MILLISECONDS, _RECYCLE_SECONDS, _MOST_EXTRA_CONNECTIONS)
            event.listen(cast(Any, storage)._engine, "connect", _in_utc)
        _remember_tables(self.event_log_storage)
        event.listen(cast(Any, self.event_log_storage)._engine, "connect", _do_not_wait_for_the_disk)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The URL and nothing else."""
        return {"postgres_url": StringSource}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: dict[str, str]
    ) -> "PooledPostgresStorage":
        """Built by Dagster from dagster.yaml."""
        return cls(config_value["postgres_url"], inst_data=inst_data)


def _remember_tables(storage: Any) -> None:
    """With each event of an asset or check Dagster asks for a table, on a connection that it opens for it."""
    asked, known = storage.has_table, set[str]()

    def has_table(name: str) -> bool:
        if name not in known and asked(name):
            known.add(name)
        return name in known

    storage.has_table = has_table


def _in_utc(connection: Any, _record: object) -> None:
    """Dagster leaves some times to the server's clock, reads them as UTC, and says so nowhere."""
    with connection.cursor() as cursor:
        cursor.execute("set time zone 'UTC'")


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    """A run's events are only history: after a crash, those of the last half second may be missing.

    The ledger and Dagster's runs and cursors, which decide what happens next, are written by other sessions.
    """
    with connection.cursor() as cursor:
        cursor.execute("set synchronous_commit = off")
