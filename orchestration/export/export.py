"""Exports a mart: one version of the lake, into a file that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import duckdb

from ingestion.durable import sync_folder
from ingestion.errors import ConfigError, MillraceError, StorageError
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.libraries import require
from ingestion.serve.moments import moments
from ingestion.serve.shelf import Mart, served_marts, shown_batches
from ingestion.serve.texts import quoted
from ingestion.settings import Settings
from orchestration.export.forms import HYPER, Source, Written, writer_of

_MARTS = "marts"


class ExportRefused(MillraceError):
    """There is no such mart or version, the file is there already, or a value does not fit."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        rows: How many.
        snapshot: The version of the lake.
        fresh_to: Stream → time of its newest event in the mart; empty where it is not known.
        complete_to: Stream → everything that had come to its broker by then is there.
        said: What the file holds otherwise than the lake, a sentence a column.
    """

    rows: int
    snapshot: int
    fresh_to: Mapping[str, datetime]
    complete_to: Mapping[str, datetime]
    said: tuple[str, ...]


def export(
    settings: Settings,
    name: str,
    path: Path,
    *,
    at: int | None = None,
    replace: bool = False,
    append: bool = False,
) -> Exported:
    """Write a mart, or another table or view of the lake, to a file that its owner alone may read.

    Args:
        settings: Where the lake is.
        name: Of the mart, or schema.table.
        path: The file; its ending says how it is written.
        at: The version of the lake; None for the newest.
        replace: Whether a file that is there may go.
        append: Bring a .hyper file that is there to the newest version, by what has changed since.

    Raises:
        ConfigError: The file's ending is unknown, a package is missing, or a sheet cannot hold the mart.
        ExportRefused: As it says.
        StorageError: The file cannot be written.
        CatalogUnavailable: The lake's catalog cannot be reached.
    """
    write = writer_of(path)
    appends = append and path.exists()
    if append and (path.suffix.lower() != HYPER or at is not None or replace):
        raise ConfigError("--append brings a .hyper file to the newest version: without --at and --force")
    if path.exists() and not replace and not append:
        raise ExportRefused(f"{path} is there already: --force replaces it")
    # Before the version is chosen, which then holds at least as much.
    shown = shown_batches(settings.data_dir)
    with Lake(settings, read_only=True, time_travel=True) as lake:
        mart = _find(lake, settings, name)
        lake.connection.execute("begin transaction")
        version = lake.snapshot_id() if at is None else at
        relation = f"{CATALOG_NAME}.{quoted(mart.schema)}.{quoted(mart.table)} at (version => {version})"
        try:
            described = lake.connection.execute(f"from {relation} limit 0").description or ()
            columns = [(column[0], column[1]) for column in described]
            source = Source(mart.name, relation, columns, version)
            with _put_in_place(path, replace=replace or append) as work:
                if appends:
                    rows, said = _append(lake, mart, source, path, work)
                else:
                    rows, said = write(lake.connection, source, work)
                    if path.suffix.lower() == HYPER:
                        _note(lake, mart, source, work)
        except duckdb.IOException as error:
            raise StorageError(f"{path} cannot be written: {_first_line(error)}") from None
        except duckdb.Error as error:
            raise ExportRefused(_refusal(mart, at, error)) from None
        fresh, complete = moments(lake, shown.get(mart.name, {}), version=version) if at is None else ({}, {})
        return Exported(rows, version, fresh, complete, tuple(said))


def _append(lake: Lake, mart: Mart, source: Source, path: Path, work: Path) -> Written:
    """On a copy: the file is as it was until all of it is right."""
    require("extracts of Tableau", ("pantab",), extra="tableau")
    from orchestration.export.hyper import CannotAppend, append, position

    shutil.copyfile(path, work)
    held = position(lake, mart, source.columns, source.snapshot)
    try:
        return append(lake, mart, source.columns, work, held=held)
    except CannotAppend as error:
        raise ExportRefused(str(error)) from None


def _note(lake: Lake, mart: Mart, source: Source, work: Path) -> None:
    from orchestration.export.hyper import note, position

    note(work, position(lake, mart, source.columns, source.snapshot))


@contextmanager
def _put_in_place(path: Path, *, replace: bool) -> Iterator[Path]:
    """A file in a private folder beside; in the end it has the wanted name and is on the disk."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            work = folder / path.name
            yield work
            work.chmod(0o600)
            with work.open("rb") as file:
                os.fsync(file.fileno())
            if replace:
                os.replace(work, path)
            else:
                os.link(work, path)  # unlike a rename it does not replace what came meanwhile
            sync_folder(path.parent)
        finally:
            with suppress(OSError):
                shutil.rmtree(folder)
    except FileExistsError:
        raise ExportRefused(f"{path} is there already: --force replaces it") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from None


def _find(lake: Lake, settings: Settings, name: str) -> Mart:
    served = served_marts(settings.data_dir)
    if name in served:
        return served[name]
    schema, _, table = name.rpartition(".")
    known = lake.tables()
    if (schema or _MARTS, table) in known:
        return Mart(table, schema or _MARTS, table, ())
    names = {*served, *(each for where, each in known if where == _MARTS)}
    similar = get_close_matches(name, names, n=1)
    hint = f"did you mean '{similar[0]}'?" if similar else "'millrace tables' lists what is there"
    raise ExportRefused(f"there is no mart '{name}' in the lake; {hint}")


def _refusal(mart: Mart, at: int | None, error: duckdb.Error) -> str:
    text = _first_line(error)
    if at is not None and "snapshot" in text.lower():
        return f"version {at} of the lake is not there any more, or not yet: leave --at out for the newest"
    if isinstance(error, duckdb.CatalogException):
        when = "has not been built yet" if at is None else f"was not there in version {at} of the lake"
        return f"'{mart.name}' {when}: {text}"
    return f"'{mart.name}' cannot be exported: {text}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
