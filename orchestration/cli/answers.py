"""A query's answer on the screen or in a file: table, CSV, JSON, lines; CSV, JSON, Parquet, Excel.

Asking is in query.py. A file appears whole or not at all.
"""

import csv
import json
import os
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.table import Table

from ingestion.errors import ConfigError, StorageError
from orchestration.cli.query import Answer
from orchestration.export.excel import write_sheet

MODES = ("table", "line", "csv", "json")
_LEAST_COLUMN = 9  # characters


def print_answer(answer: Answer, console: Console, *, mode: str, limit: int) -> None:
    """Show an answer.

    Args:
        answer: The result.
        console: Where to.
        mode: One of MODES.
        limit: How many rows a table or lines show; csv and json show all.
    """
    if mode == "json":
        write_json(answer, sys.stdout)
    elif mode == "csv":
        write_csv(answer, sys.stdout)
    elif mode == "line":
        _print_lines(answer, console, limit=limit)
    else:
        _print_table(answer, console, limit=limit)


def _print_table(answer: Answer, console: Console, *, limit: int) -> None:
    """The first rows as a table; as lines, where it has more columns than can be read side by side."""
    if len(answer.columns) * _LEAST_COLUMN > console.width:
        _print_lines(answer, console, limit=limit)
        return
    table = Table(*answer.columns, header_style="bold", show_edge=False)
    shown, more = 0, False
    for row in answer.rows():
        if shown == limit:
            more = True
            break
        table.add_row(*("[dim]null[/]" if value is None else _escaped(value) for value in row))
        shown += 1
    console.print(table, soft_wrap=False)
    _print_count(console, shown, more=more)


def _print_lines(answer: Answer, console: Console, *, limit: int) -> None:
    """A line for each value, for rows wider than the screen."""
    width, shown, more = max(map(len, answer.columns), default=0), 0, False
    for row in answer.rows():
        if shown == limit:
            more = True
            break
        for name, value in zip(answer.columns, row, strict=True):
            shown_value = "[dim]null[/]" if value is None else _escaped(value)
            console.print(f"[bold]{_escaped(name):>{width}}[/]  {shown_value}")
        console.print()
        shown += 1
    _print_count(console, shown, more=more)


def _print_count(console: Console, shown: int, *, more: bool) -> None:
    rest = "; there are more rows: use --limit, --json, --csv or -o" if more else ""
    console.print(f"[dim]{shown} row{'' if shown == 1 else 's'}{rest}[/]")


def write_json(answer: Answer, file: IO[str]) -> int:
    """Write an array of objects, a row a line; returns how many."""
    file.write("[")
    number = -1
    for number, row in enumerate(answer.rows()):
        file.write(",\n" if number else "\n")
        json.dump(dict(zip(answer.columns, row, strict=True)), file, default=_plain, ensure_ascii=False)
    file.write("\n]\n")
    return number + 1


def write_csv(answer: Answer, file: IO[str]) -> int:
    """Write CSV with a header; null is an empty field. Returns the number of rows."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answer.columns)
    number = 0
    for row in answer.rows():
        writer.writerow([_plain(value) if isinstance(value, bytes) else value for value in row])
        number += 1
    return number


def _csv_file(answer: Answer, path: Path) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        return write_csv(answer, file)


def _json_file(answer: Answer, path: Path) -> int:
    with path.open("w", encoding="utf-8") as file:
        return write_json(answer, file)


def _parquet_file(answer: Answer, path: Path) -> int:
    import pyarrow.parquet as pq

    number = 0
    with answer.cursor.to_arrow_reader() as batches, pq.ParquetWriter(path, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            number += batch.num_rows
    return number


def _excel_file(answer: Answer, path: Path) -> int:
    return write_sheet(path, answer.columns, answer.rows())[0]


_WRITERS: Mapping[str, Callable[[Answer, Path], int]] = {
    ".csv": _csv_file,
    ".json": _json_file,
    ".parquet": _parquet_file,
    ".xlsx": _excel_file,
}


def require_writable(path: Path) -> None:
    """Raise ConfigError unless the file's name says how it is to be written."""
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"{path} has to end in .csv, .json, .parquet or .xlsx, which says how it is written"
        )


def write_file(answer: Answer, path: Path) -> int:
    """Write all rows to a file, in the format that its name ends in.

    Returns:
        How many rows.

    Raises:
        ConfigError: The name ends otherwise, or a sheet cannot hold so many rows.
        StorageError: The file cannot be written.
    """
    require_writable(path)
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        number = _WRITERS[path.suffix.lower()](answer, work)
        work.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        work.unlink(missing_ok=True)
    return number


def require_one_format(*, as_json: bool, as_csv: bool, output: Path | None = None) -> None:
    """Raise ConfigError when two formats are asked for, or a file whose name says none."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other: choose one")
    if output is not None and (as_json or as_csv):
        raise ConfigError("a file is written in the format that its name ends in: leave --json and --csv out")
    if output is not None:
        require_writable(output)


def _escaped(value: object) -> str:
    from rich.markup import escape

    return escape(str(_plain(value) if isinstance(value, bytes) else value))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
