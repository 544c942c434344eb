"""The lake's newest version, asked of the catalog alone: for those who wait for a commit."""

import psycopg2

from ingestion.errors import CatalogUnavailable
from ingestion.lake.catalog import Connection, connect_catalog
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.settings import Settings

_NEWEST = f"select max(snapshot_id) from {METADATA_SCHEMA}.ducklake_snapshot"


class NewestVersion:
    """Asks over a connection that stays open; a lost one is opened again by the next question.

    Args:
        settings: Where the catalog is.
        application_name: Who asks, as PostgreSQL lists its clients.
    """

    def __init__(self, settings: Settings, *, application_name: str) -> None:
        self._settings, self._application_name = settings, application_name
        self._connection: Connection | None = None

    def read(self) -> int | None:
        """Its number; None before the lake is made.

        Raises:
            CatalogUnavailable: The catalog does not answer.
        """
        if self._connection is None:
            self._connection = connect_catalog(self._settings, application_name=self._application_name)
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(_NEWEST)
                ((number,),) = cursor.fetchall()
        except psycopg2.errors.UndefinedTable:
            return None
        except psycopg2.Error as error:
            self.close()
            why = (str(error).strip().splitlines() or ["no answer"])[0]
            raise CatalogUnavailable(f"the catalog does not answer ({why})") from None
        return None if number is None else int(number)

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
