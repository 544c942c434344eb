"""`millrace query`: one SELECT on the lake, locked in: no write, no other file, no setting.

It prevents mistakes. It does not restrict the owner of the data folder, who has the catalog's password.
"""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from ingestion.errors import ConfigError, MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings

_PAGE = 10_000


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


def ask(settings: Settings, sql: str) -> Answer:
    """Run one SELECT on its own connection.

    Raises:
        QueryRefused: The text is not one SELECT, or DuckDB refuses it.
        CatalogUnavailable: The lake's catalog cannot be reached.
    """
    _require_one_select(sql)
    lake = Lake(settings, read_only=True)
    connection = lake.connection
    lock_in(connection, settings)
    try:
        cursor = connection.execute(sql)
    except duckdb.Error as error:
        raise QueryRefused(_reason(error)) from None
    return Answer(tuple(column[0] for column in cursor.description or ()), cursor)


def lock_in(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Restrict a connection to the lake's files; it cannot be undone."""
    if settings.resolved_lake_path.startswith("s3://"):
        connection.execute("load httpfs")  # afterwards no extension loads any more
    folder = settings.resolved_lake_path.replace("'", "''")
    connection.execute(f"set allowed_directories = ['{folder}']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


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


def print_table(answer: Answer, console: Console, *, limit: int) -> None:
    """Show the first rows as a table.

    Args:
        answer: The result.
        console: Where to.
        limit: How many rows are shown.
    """
    table = Table(*answer.columns, header_style="bold", show_edge=False)
    shown, more = 0, False
    for row in answer.rows():
        if shown == limit:
            more = True
            break
        table.add_row(*("[dim]null[/]" if value is None else _escaped(value) for value in row))
        shown += 1
    console.print(table, soft_wrap=False)
    rest = "; there are more rows: use --limit, --json or --csv" if more else ""
    console.print(f"[dim]{shown} row{'' if shown == 1 else 's'}{rest}[/]")


def write_json(answer: Answer) -> None:
    """Write an array of objects to stdout, a row a line."""
    sys.stdout.write("[")
    for number, row in enumerate(answer.rows()):
        sys.stdout.write(",\n" if number else "\n")
        json.dump(dict(zip(answer.columns, row, strict=True)), sys.stdout, default=_plain, ensure_ascii=False)
    sys.stdout.write("\n]\n")


def write_csv(answer: Answer) -> None:
    """Write CSV with a header to stdout; null is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(
        [_plain(value) if isinstance(value, bytes) else value for value in row] for row in answer.rows()
    )


def require_one_format(*, as_json: bool, as_csv: bool) -> None:
    """Raise ConfigError when both are asked for."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other: choose one")


def _escaped(value: object) -> str:
    from rich.markup import escape

    return escape(str(_plain(value) if isinstance(value, bytes) else value))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
