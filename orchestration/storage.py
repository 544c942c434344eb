"""Dagster's PostgreSQL storage with connections that are kept.

dagster-postgres opens a connection for every event it writes, and a run of ours writes a few hundred.
Its own switch for the web server keeps them open; here every process uses it.
"""

from dagster import StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

_STATEMENT_MILLISECONDS = 60_000
_RECYCLE_SECONDS = 3_600
_MOST_BESIDES = 20


class PooledPostgresStorage(DagsterPostgresStorage):
    """In dagster.yaml: ``storage: {custom: {module: orchestration.storage, class: …, config: …}}``."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        for storage in (self.event_log_storage, self.run_storage, self.schedule_storage):
            storage.optimize_for_webserver(_STATEMENT_MILLISECONDS, _RECYCLE_SECONDS, _MOST_BESIDES)

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
