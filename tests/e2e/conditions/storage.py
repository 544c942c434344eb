"""A system's embedded PostgreSQL, as its administrator uses it: what is broken there is broken for real."""

from typing import Any

import psycopg2
from dotenv import dotenv_values

from tests.e2e.conditions.system import System


def in_storage(system: System, sql: str, *values: object, database: str = "DAGSTER_CATALOG") -> list[Any]:
    """Ask or change the embedded PostgreSQL."""
    address = dotenv_values(system.data_dir / "runtime.env")[f"MILLRACE_{database}"]
    connection = psycopg2.connect(address)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def close_database(system: System, name: str) -> None:
    """Let nobody into a database, and end who is there."""
    in_storage(system, f"alter database {name} allow_connections false")
    in_storage(system, "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", name)


def open_database(system: System, name: str) -> None:
    """Let them in again."""
    in_storage(system, f"alter database {name} allow_connections true")
