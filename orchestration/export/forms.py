"""The ways a mart is written: what is selected, and who writes it. The file's ending says which."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ingestion.errors import ConfigError
from ingestion.libraries import require
from ingestion.serve.texts import Columns, csv_row, json_object, literal, quoted
from orchestration.export.excel import write_sheet
from orchestration.export.fitting import fit_excel, fit_parquet, metadata, select_list

_ROWS = 2_048
_JSON_BETWEEN = ",\n"
HYPER = ".hyper"


@dataclass(frozen=True)
class Source:
    """What is written.

    Attributes:
        mart: Its name.
        relation: SQL of its rows.
        columns: Name and type of each.
        snapshot: The version of the lake.
    """

    mart: str
    relation: str
    columns: Columns
    snapshot: int


Written = tuple[int, list[str]]
"""How many rows, and what a reader has to know of the columns."""
Writer = Callable[[duckdb.DuckDBPyConnection, Source, Path], Written]


def _csv(lake: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Written:
    """As HTTP gives it (serve/bodies.py): RFC 4180, null is nothing, an empty text is "" in quotes."""
    ((header,),) = lake.execute(
        f"select {csv_row([(name, duckdb.sqltypes.VARCHAR) for name, _ in source.columns])} "
        f"from (select {', '.join(f'{literal(name)} as {quoted(name)}' for name, _ in source.columns)})"
    ).fetchall()
    line = csv_row(source.columns)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{header}\r\n")
        count = 0
        for batch in lake.execute(f"select {line} from {source.relation}").to_arrow_reader(_ROWS):
            file.writelines(f"{text}\r\n" for text in batch.column(0).to_pylist())
            count += batch.num_rows
    return count, []


def _json(lake: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Written:
    """An array of objects, a row a line, each as HTTP gives it."""
    rows = lake.execute(f"select {json_object(source.columns)} from {source.relation}").to_arrow_reader(_ROWS)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("[\n")
        count = 0
        for batch in rows:
            for text in batch.column(0).to_pylist():
                file.write(f"{_JSON_BETWEEN if count else ''}{text}")
                count += 1
        file.write("\n]\n")
    return count, []


def _parquet(lake: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Written:
    chosen, said = select_list(source.columns, fit_parquet)
    noted = metadata({"millrace_mart": source.mart, "millrace_snapshot": str(source.snapshot)})
    ((count,),) = lake.execute(
        f"copy (select {chosen} from {source.relation}) to {literal(str(path))} "
        f"(format parquet, compression zstd, kv_metadata {noted})"
    ).fetchall()
    return count, said


def _excel(lake: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Written:
    chosen, said = select_list(source.columns, fit_excel)
    cursor = lake.execute(f"select {chosen} from {source.relation}")
    pages = iter(lambda: cursor.fetchmany(_ROWS), [])
    count, of_values = write_sheet(
        path, [name for name, _ in source.columns], (row for page in pages for row in page)
    )
    return count, said + of_values


def _hyper(lake: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Written:
    require("extracts of Tableau", ("pantab",), extra="tableau")
    from orchestration.export.hyper import write_whole

    return write_whole(lake, source.relation, source.columns, path, table=source.mart)


_WRITERS: Mapping[str, Writer] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
    ".xlsx": _excel,
    HYPER: _hyper,
}


def writer_of(path: Path) -> Writer:
    """Who writes such a file.

    Raises:
        ConfigError: Nobody does.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        *some, last = _WRITERS
        raise ConfigError(f"{path} has to end in {', '.join(some)} or {last}, which says how it is written")
    return writer
