"""Consumers of the lake by name: how far each has read. Upkeep keeps the versions that they have not."""

from contextlib import closing

from ingestion.lake.catalog import Connection, connect_catalog, process_name
from ingestion.settings import Settings

SERVING = "serving"
"""Who publishes marts to PostgreSQL."""

_NOTE = """
insert into millrace.consumers (name, snapshot, read_at) values (%s, %s, now())
on conflict (name) do update set snapshot = excluded.snapshot, read_at = excluded.read_at
"""


def note_read(connection: Connection, name: str, snapshot: int) -> None:
    """Note that a consumer needs no version before this one any more.

    Args:
        connection: To the catalog's database, in autocommit mode.
        name: The consumer.
        snapshot: The version that it reads on from.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, (name, snapshot))


def forget(settings: Settings, name: str) -> None:
    """Let upkeep expire what a consumer has not read: there is none of that name any more.

    Raises:
        CatalogUnavailable: The catalog does not answer.
    """
    connection = connect_catalog(settings, application_name=process_name())
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("delete from millrace.consumers where name = %s", (name,))


def consumed_until(settings: Settings) -> int | None:
    """The oldest version that some consumer reads on from; None without consumers.

    Raises:
        CatalogUnavailable: The catalog does not answer.
    """
    connection = connect_catalog(settings, application_name=process_name())
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("select to_regclass('millrace.consumers') is not null")
        if cursor.fetchone() != (True,):
            return None
        cursor.execute("select min(snapshot) from millrace.consumers")
        row = cursor.fetchone()
        return None if row is None or row[0] is None else int(row[0])
