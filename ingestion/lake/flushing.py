"""Before a commit, what it wrote into the lake's folder is flushed: DuckDB writes files and never does.

Otherwise a power loss could leave the catalog with rows whose files are empty, after their log was trimmed.
"""

import os
from collections.abc import Collection, Iterable
from contextlib import nullcontext, suppress
from pathlib import Path

import duckdb

from ingestion.durable import sync_folder
from ingestion.errors import StorageError

LOADS, VERSIONS = "_dlt_loads", "_dlt_version"
_OF_DLT = {LOADS: "load_id = $load_id", VERSIONS: "true"}


def flush_load(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[str], load_id: str, *, folder: Path
) -> None:
    """Flush a load's files and the folders that name them.

    Args:
        connection: Holds the load's transaction: its files are known to nobody else.
        tables: The tables of raw that got rows, dlt's own among them.
        load_id: What stands in the rows' `_dlt_load_id`.
        folder: The lake's.

    Raises:
        StorageError: The disk refused, so the load must not be committed.
    """
    conditions = {table: _OF_DLT.get(table, "_dlt_load_id = $load_id") for table in tables}
    query = " union all ".join(
        f'select distinct filename from raw."{table}" where {condition}'
        for table, condition in conditions.items()
    )
    found = connection.execute(query, {"load_id": load_id}).fetchall()
    flush([Path(path) for (path,) in found], folder=folder)


def flush(paths: Collection[Path], *, folder: Path, may_be_gone: bool = False) -> None:
    """Flush files and the folders that name them.

    Args:
        paths: Files in the lake's folder.
        folder: The lake's.
        may_be_gone: There are files of other writers among them, who may delete theirs.

    Raises:
        StorageError: The disk refused, so they must not be committed.
    """
    folders = {path.parent for path in paths}
    folders |= {above for each in folders for above in each.parents if above.is_relative_to(folder)}
    try:
        for path in paths:
            with suppress(FileNotFoundError) if may_be_gone else nullcontext():
                _flush_file(path)
        for each in sorted(folders, reverse=True):
            sync_folder(each)
    except OSError as error:
        raise StorageError(
            f"the lake's files in {folder} cannot be flushed ({error.strerror or error}); nothing was "
            "committed, and it is done again: look at that disk"
        ) from None


def parquet_files(folders: Iterable[Path]) -> frozenset[Path]:
    """The data and delete files in some of the lake's folders, also those that no commit names yet."""
    return frozenset(path for folder in folders for path in folder.glob("*.parquet"))


def _flush_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
