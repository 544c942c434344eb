"""`millrace query`: SELECTs on the lake, locked in: no write, no other file, no setting.

It prevents mistakes. It does not restrict the owner of the data folder, who has the catalog's password. How
answers are printed and kept is in answers.py, the shell in shell.py.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import duckdb

from ingestion.errors import MillraceError
from ingestion.lake.contents import Relation, contents_sql, list_contents
from ingestion.lake.interrupting import interrupted_after
from ingestion.lake.lake import CATALOG_NAME, WATCHER_SECONDS, Lake
from ingestion.settings import Settings

_PAGE = 10_000
_FIRST, _LAST = ("marts", "intermediate", "seeds", "snapshots", "staging"), ("raw",)
_TABLES = re.compile(r"show\s+(?:all\s+)?tables", re.IGNORECASE)
_DESCRIBED = re.compile(r"(?:describe|desc|show)\s+(?:table\s+)?([\w.\"]+)", re.IGNORECASE)


class QueryRefused(MillraceError):
    """The text is not one SELECT, or DuckDB refuses it."""


@dataclass(frozen=True)
class Answer:
    """A query's result, still running: rows are fetched as they are asked for."""

    columns: tuple[str, ...]
    cursor: duckdb.DuckDBPyConnection

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All rows, a page at a time."""
        while page := self.cursor.fetchmany(_PAGE):
            yield from page


class Questions:
    """Asks one lake, over a connection that stays open; a lost one is opened again by the next question.

    Args:
        settings: Where the lake is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = Lake(settings, read_only=True, renew_seconds=WATCHER_SECONDS, time_travel=True)
        self._locked: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def one_version(self) -> Iterator[tuple[Lake, int]]:
        """All questions meanwhile are answered from one version of the lake.

        Yields:
            The lake, and the version's number.

        Raises:
            CatalogUnavailable: The lake's catalog cannot be reached.
        """
        connection = self._connection()
        connection.execute("begin transaction read only")
        try:
            yield self._lake, self._lake.snapshot_id()
        finally:
            with suppress(duckdb.Error):
                connection.execute("rollback")

    def first_rows(
        self, sql: str, *, limit: int, within_seconds: float
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """The columns and the first rows of one SELECT.

        Args:
            sql: The SELECT.
            limit: Rows at most.
            within_seconds: How long it may take in all.

        Raises:
            QueryRefused: As of `ask`, or it took longer.
            CatalogUnavailable: The lake's catalog cannot be reached.
        """
        connection = self._connection()
        try:
            with interrupted_after(connection, within_seconds):
                answer = self.ask(sql)
                return answer.columns, answer.cursor.fetchmany(limit)
        except duckdb.InterruptException:
            raise QueryRefused(f"the query took longer than {within_seconds:g} s and was ended") from None
        except duckdb.Error as error:
            raise QueryRefused(_reason(error)) from None

    def ask(self, sql: str) -> Answer:
        """Run one SELECT. Names without a schema are looked for in all of them, marts first.

        Raises:
            QueryRefused: The text is not one SELECT, or DuckDB refuses it.
            CatalogUnavailable: The lake's catalog cannot be reached.
        """
        connection = self._connection()
        sql = _rewritten(sql, self.contents() if _DESCRIBED.fullmatch(_bare(sql)) else [])
        _require_one_select(sql)
        try:
            cursor = connection.execute(sql)
        except duckdb.InterruptException:
            raise
        except duckdb.IOException as error:
            reason = self._lake.explain(error)  # raises where the catalog is away
            self._lake.close()
            raise QueryRefused(str(reason)) from None
        except duckdb.Error as error:
            raise QueryRefused(_reason(error)) from None
        return Answer(tuple(column[0] for column in cursor.description or ()), cursor)

    def names(self) -> list[tuple[str, str, str]]:
        """Schema, table and column of everything that is there, for completion."""
        return self._connection().execute(
            "select schema_name, table_name, column_name from duckdb_columns() where database_name = ?",
            [CATALOG_NAME],
        ).fetchall()  # fmt: skip

    def contents(self) -> list[Relation]:
        """The lake's tables and views."""
        self._connection()
        return list_contents(self._lake)

    def close(self) -> None:
        """Close the connection."""
        self._lake.close()

    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = self._lake.connection
        if connection is not self._locked:
            schemas = {schema for schema, _ in self._lake.tables()}
            connection.execute(f"set search_path = '{','.join(_path(schemas))}'")
            lock_in(connection, self._settings)
            self._locked = connection
        return connection


def ask(settings: Settings, sql: str) -> Answer:
    """Run one SELECT on its own connection; raises what Questions.ask does."""
    return Questions(settings).ask(sql)


def lock_in(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Restrict a connection to the lake's files; it cannot be undone."""
    if settings.resolved_lake_path.startswith("s3://"):
        connection.execute("load httpfs")  # afterwards no extension loads any more
    folder = settings.resolved_lake_path.replace("'", "''")
    connection.execute(f"set allowed_directories = ['{folder}']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def _path(schemas: set[str]) -> list[str]:
    """Where names without a schema are looked for: everywhere but in modellers' own schemas."""
    known = {*_FIRST, *_LAST, "main"}
    rest = sorted(name for name in schemas - known if not name.startswith("dev_"))
    order = [name for name in (*_FIRST, "main", *rest, *_LAST) if name in schemas or name == "main"]
    return [_quoted(name) for name in order]


def _quoted(schema: str) -> str:
    return f'{CATALOG_NAME}."{schema}"'


def asks_for_tables(sql: str) -> bool:
    """Whether it is `show tables`."""
    return _TABLES.fullmatch(_bare(sql)) is not None


def _bare(sql: str) -> str:
    return sql.strip().rstrip(";").rstrip()


def _rewritten(sql: str, contents: list[Relation]) -> str:
    """`show tables` of the whole lake, and `describe` with the descriptions, which DuckDB leaves out."""
    if asks_for_tables(sql):
        return (
            "select schema_name as schema, name, kind, rows, size as bytes, changed_at, description "
            f"from ({contents_sql()}) as contents"
        )
    found = _DESCRIBED.fullmatch(_bare(sql))
    named = found[1].replace('"', "").removeprefix(f"{CATALOG_NAME}.") if found else ""
    schema, _, name = named.rpartition(".")
    places = [each for each in contents if each.name == name and schema in ("", each.schema)]
    if not places:
        return sql
    order = [*_path({each.schema for each in places}), *(_quoted(each.schema) for each in places)]
    chosen = min(places, key=lambda each: order.index(_quoted(each.schema)))
    return (
        "select column_name as column, data_type as type, coalesce(comment, '') as description "
        f"from duckdb_columns() where database_name = '{CATALOG_NAME}' and schema_name = '{chosen.schema}' "
        f"and table_name = '{chosen.name}' order by column_index"
    )


def _require_one_select(sql: str) -> None:
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryRefused(_reason(error)) from None
    # A COPY could write beside the lake's files, even on a read-only lake.
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryRefused(
            "'millrace query' runs one SELECT (or SHOW, DESCRIBE, WITH …), and changes nothing"
        )


def _reason(error: duckdb.Error) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    hint = next((f"; {line.strip()}" for line in lines if line.startswith(("Did you mean", "Candidate"))), "")
    place = next((line.strip() for line in lines if line.startswith("LINE ")), "")
    return f"the query failed: {lines[0]}{hint}{f' ({place})' if place else ''}"
