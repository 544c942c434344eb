"""Extracts of Tableau: written whole, or brought to a newer version of the lake by what has changed since.

The file itself says which mart, lake and version it holds: table `export` in the schema `millrace`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import Lake
from ingestion.serve.changes import change_feed, look_back, relation
from ingestion.serve.shelf import Mart
from ingestion.serve.texts import Columns, quoted
from orchestration.export.fitting import fit_hyper, select_list

_VERSION = "3"
"""Of Hyper's file format: the first with numbers of more than 18 digits; Tableau 2022.4 reads it."""
_PUBLIC, _SCHEMA, _TABLE = "public", "millrace", "export"
_NOTED = f'"{_SCHEMA}"."{_TABLE}"'
_NEW, _GONE = "millrace_new", "millrace_gone"
_AGAIN = "--force without --append writes it again as a whole"
_LAKE = "select id::varchar as id from millrace.lake"
_ROWS = 2_048


class CannotAppend(Exception):
    """What has changed is not known, or the file is of something else; the text says which."""


@dataclass(frozen=True)
class Position:
    """What a file holds.

    Attributes:
        mart: schema.table in the lake.
        lake: The lake's identity; empty where it has none.
        snapshot: The lake's version.
        columns: Name and type of each, as JSON.
    """

    mart: str
    lake: str
    snapshot: int
    columns: str


def position(lake: Lake, mart: Mart, columns: Columns, snapshot: int) -> Position:
    """What a file holds that is written from the lake now."""
    try:
        ((identity,),) = lake.query(asked_of_catalog(_LAKE)) or [("",)]
    except duckdb.Error:  # a lake that no release has claimed
        identity = ""
    said = json.dumps([[name, str(kind)] for name, kind in columns])
    return Position(f"{mart.schema}.{mart.table}", str(identity), snapshot, said)


def write_whole(
    lake: duckdb.DuckDBPyConnection, where: str, columns: Columns, path: Path, *, table: str
) -> tuple[int, list[str]]:
    """Write a file with all rows.

    Args:
        lake: The lake.
        where: SQL of the rows.
        columns: Of them.
        path: The file.
        table: Its table.

    Returns:
        How many rows, and what a reader has to know of the columns.
    """
    import pantab

    chosen, said = select_list(columns, fit_hyper)
    ((count,),) = lake.execute(f"select count(*) from {where}").fetchall()  # of the same version
    rows = lake.execute(f"select {chosen} from {where}").to_arrow_reader(_ROWS)
    options = {"default_database_version": _VERSION, **_log(path)}
    pantab.frame_to_hyper(rows, path, table=table, process_params=options, atomic=False)
    return count, said


def note(path: Path, held: Position) -> None:
    """Write into a file what it holds."""
    if _read(path) is not None:
        _run(path, f"drop table {_NOTED}")
    _add(path, pa.table({name: [value] for name, value in vars(held).items()}), (_SCHEMA, _TABLE))


def append(lake: Lake, mart: Mart, columns: Columns, path: Path, *, held: Position) -> tuple[int, list[str]]:
    """Bring a file to the version of `held`: rows that were touched since go, and stand as they are now.

    Args:
        lake: The lake.
        mart: The mart.
        columns: Its columns.
        path: The file, which nobody else uses; half done after an error.
        held: What it shall hold.

    Returns:
        How many rows were written, and what a reader has to know of the columns.

    Raises:
        CannotAppend: Why, as a sentence with the way out.
    """
    since = _comparable(lake, mart, path, held)
    chosen, said = select_list(columns, fit_hyper)
    feed, now = change_feed(mart, columns, since=since, version=held.snapshot), relation(mart, held.snapshot)
    counted = f"select count(*) filter (where _change = 'delete'), count(*) from ({feed})"
    ((gone, touched),) = lake.query(counted) if since < held.snapshot else [(0, 0)]
    if not touched:
        note(path, held)
        return 0, said
    if gone and not mart.key:
        raise CannotAppend(
            f"{gone:,} rows of {mart.name} were changed or removed since version {since}, and its model "
            f"declares no key by which a file could find them: declare 'unique_key', or {_AGAIN}"
        )
    if mart.key:
        names = ", ".join(map(quoted, mart.key))
        same = " and ".join(f"it.{quoted(name)} is not distinct from was.{quoted(name)}" for name in mart.key)
        keys = f"(select distinct {names} from ({feed})) as was"
        rows = f"(from {now}) as it where exists (from {keys} where {same})"
    else:
        rows = f"({feed}) as it"
    fitted = lake.connection.execute(f"select {chosen} from {rows}").to_arrow_table()
    if mart.key:
        key_list, _ = select_list([each for each in columns if each[0] in mart.key], fit_hyper)
        touched_keys = lake.connection.execute(f"select distinct {key_list} from ({feed})").to_arrow_table()
        _add(path, touched_keys, (_PUBLIC, _GONE))
        at = f"from {_in(_GONE)} as was where {same}"
        _run(path, f"delete from {_in(mart.name)} as it where exists (select 1 {at})")
        _run(path, f"drop table {_in(_GONE)}")
    _add(path, fitted, (_PUBLIC, _NEW))
    names = ", ".join(quoted(name) for name, _ in columns)
    _run(path, f"insert into {_in(mart.name)} ({names}) select {names} from {_in(_NEW)}")
    _run(path, f"drop table {_in(_NEW)}")
    note(path, held)
    return fitted.num_rows, said


def _comparable(lake: Lake, mart: Mart, path: Path, held: Position) -> int:
    """The version from which on changes are wanted."""
    there = _read(path)
    if there is None:
        raise CannotAppend(f"{path.name} does not say which version of the lake it holds: {_AGAIN}")
    if (there.mart, there.lake) != (held.mart, held.lake):
        raise CannotAppend(f"{path.name} holds {there.mart}, or is of another lake: {_AGAIN}")
    if there.columns != held.columns:
        raise CannotAppend(f"the columns of {mart.name} are others than those of {path.name}: {_AGAIN}")
    if there.snapshot > held.snapshot:
        raise CannotAppend(f"{path.name} is newer than the lake, which was restored perhaps: {_AGAIN}")
    past = look_back(lake, mart, since=there.snapshot, version=held.snapshot)
    if past.made is None:
        raise CannotAppend(f"{mart.name} is a view, of which the lake keeps no changes: {_AGAIN}")
    if past.made > there.snapshot:
        raise CannotAppend(f"{mart.name} was rebuilt after {path.name} was written: {_AGAIN}")
    if not past.complete and there.snapshot != held.snapshot:
        raise CannotAppend(
            f"{path.name} holds version {there.snapshot}, and versions since then have expired: {_AGAIN}"
        )
    return there.snapshot


def _read(path: Path) -> Position | None:
    import pantab

    sql = f"select mart, lake, snapshot, columns from {_NOTED}"
    try:
        found = pantab.frame_from_hyper_query(path, sql, return_type="pyarrow", process_params=_log(path))
    except RuntimeError:  # it has no such table, or is not a file of Hyper
        return None
    rows = found.to_pylist()
    return Position(**rows[0]) if len(rows) == 1 else None


def _add(path: Path, rows: pa.Table, table: tuple[str, str]) -> None:
    """Rows as a new table of a file that is there."""
    import pantab

    pantab.frame_to_hyper(
        rows, path, table=table, table_mode="a", process_params=_log(path), atomic=False
    )  # fmt: skip


def _run(path: Path, statement: str) -> None:
    """Change a file; pantab hands every statement on to Hyper."""
    import pantab

    pantab.frame_from_hyper_query(path, statement, return_type="pyarrow", process_params=_log(path))


def _log(path: Path) -> dict[str, str]:
    return {"log_dir": str(path.parent)}


def _in(table: str) -> str:
    return f"{quoted(_PUBLIC)}.{quoted(table)}"
