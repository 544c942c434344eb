"""A plugin of dbt-duckdb, named in profiles.yml: attaches the lake, or says in a sentence why it cannot.

dbt-duckdb attaches again what the profile lists, which then is there already.
"""

from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from ingestion.errors import CatalogUnavailable, MillraceError, StorageError
from ingestion.lake.catalog import connect_catalog, process_name
from ingestion.lake.claim import claim_lake
from ingestion.lake.engine import engine_config
from ingestion.project import NoProject
from ingestion.settings import load_settings
from orchestration.dbt.flushing import Flusher, flush_after_commits

_LAKE = "ducklake:millrace"
"""How profiles name it: by the secret that the system publishes. Other lakes are their owners' affair."""


class Plugin(BasePlugin):
    """What dbt-duckdb calls while it opens its connection."""

    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Take the data folder that the project's .env names; without a project, the profile's."""
        try:
            config |= engine_config(load_settings().data_dir)
        except NoProject:
            return
        except MillraceError as error:
            raise DbtRuntimeError(str(error)) from None

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Attach what the profile lists."""
        for attachment in self.creds.attach or ():
            if not attachment.read_only:
                self._claim()
            try:
                conn.execute(attachment.to_sql())
                if attachment.path == _LAKE and not attachment.read_only:
                    flush_after_commits(Flusher(conn, attachment.alias), self.creds)
            except duckdb.Error as error:
                raise DbtRuntimeError(_why(error)) from None

    def _claim(self) -> None:
        """Refuse to write into a folder that belongs to another lake.

        Where the settings' catalog does not answer there is nothing to compare: attaching says why, or the
        secret that a system published reaches the lake that this system claimed.
        """
        try:
            claim_lake(load_settings())
        except (NoProject, CatalogUnavailable):
            return
        except MillraceError as error:
            raise DbtRuntimeError(str(error)) from None


def _why(error: duckdb.Error) -> str:
    """The catalog's own refusal goes first: DuckDB's text names files and options, not the remedy."""
    try:
        connect_catalog(load_settings(), application_name=process_name()).close()
        raise StorageError(
            f"the lake cannot be read ({str(error).splitlines()[0]}): 'millrace doctor' checks each part"
        )
    except MillraceError as refusal:
        return str(refusal)
