"""A lake is prepared for writing; one of an earlier release is backed up and migrated first.

The steps are in ingestion/lake/migrations.py. Killed anywhere, the next call does the rest.
"""

import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb
from psycopg2 import extensions

from ingestion.backup.backup import back_up, backups_of
from ingestion.clock import utc_now
from ingestion.data_folder import system_is_running
from ingestion.errors import LakeOutdated, MigrationFailed
from ingestion.faultpoints import faultpoint
from ingestion.lake.catalog import lock_preparation, lock_session, process_name, writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.migrations import Migration, newest, steps_after
from ingestion.lake.versions import (
    note_begun,
    note_done,
    note_undone,
    number_of,
    own_release,
    read_versions,
    require_known,
)
from ingestion.settings import Settings

Progress = Callable[[str], None]


def prepare_lake(lake: Lake, streams: Iterable[str], *, progress: Progress, is_system: bool = False) -> None:
    """Create what is missing, and migrate a lake of an earlier release. An up-to-date lake costs one read.

    Args:
        lake: The lake; nothing else uses the connection meanwhile.
        streams: The streams that need a table.
        progress: Called with a few words about what comes next, when there is something to migrate.
        is_system: The caller is the system of the data folder, and its other processes do not run yet.

    Raises:
        LakeTooNew: A newer release has written the lake.
        LakeOutdated: A system that an earlier release started runs on the data folder.
        MigrationFailed: The lake is as it was; says where its backup is.
        StreamBusy: Another process writes a stream, or upkeep is at work.
    """
    names = list(streams)
    try:
        lake.prepare(names)
    except LakeOutdated:
        folder = lake.settings.data_dir
        if not is_system and system_is_running(folder):
            raise LakeOutdated(
                f"an earlier release of Millrace runs on {folder}: stop it with 'millrace down' and start it "
                f"again with 'millrace up', which migrates the lake for Millrace {own_release()}"
            ) from None
        _migrate(lake, progress)
        lake.prepare(names)


def _migrate(lake: Lake, progress: Progress) -> None:
    settings = lake.settings
    with ExitStack() as held:
        guard = held.enter_context(closing(lock_session(settings, application_name=process_name())))
        cursor = held.enter_context(guard.cursor())
        lock_preparation(cursor)
        versions = read_versions(cursor)
        require_known(versions, lake.place)
        number = number_of(versions)
        if number == newest():  # while this process waited, another one did it
            return
        for (stream,) in lake.query("select distinct stream from raw.batches order by all"):
            held.enter_context(writer_lock(settings, stream, application_name=lake.application_name))
        begun = next((each for each in versions if not each.done), None)
        backup = begun.backup if begun is not None else _back_up(settings, number, progress)
        faultpoint("migration.backed_up")
        for migration in steps_after(number):
            progress(f"migrating the lake to version {migration.number}: {migration.sentence}")
            _apply(lake, cursor, migration, backup)
        progress(f"going on at version {newest()}; the lake as it was before is in {backup}")


def _apply(lake: Lake, cursor: extensions.cursor, migration: Migration, backup: str) -> None:
    number, connection = migration.number, lake.connection
    note_begun(cursor, number, migration.sentence, backup=backup)
    faultpoint("migration.begun")
    connection.execute("begin")
    try:
        migration.apply(connection)
    except Exception as error:
        lake.close()  # also rolls back
        note_undone(cursor, number)
        raise MigrationFailed(
            f"the lake at {lake.place} cannot be migrated to version {number} ({migration.sentence}): "
            f"{_line(error)}; nothing of it was changed, so the release before can go on with it, and a "
            f"backup is in {backup}"
        ) from error
    faultpoint("migration.applied")
    try:
        connection.execute("commit")
    except duckdb.Error as error:
        lake.close()
        raise MigrationFailed(
            f"the commit of version {number} of the lake at {lake.place} failed ({_line(error)}): start it "
            f"again, which finds out how far it came; a backup from before is in {backup}"
        ) from error
    faultpoint("migration.committed")
    note_done(cursor, number)
    faultpoint("migration.noted")


def _back_up(settings: Settings, number: int, progress: Progress) -> str:
    """Back up the lake as it is; one backup of a version is kept.

    Returns:
        The backup's folder.
    """
    destination = _destination(settings) / f"of-version-{number}"
    progress(f"backing up the lake in {destination}, before it is migrated")
    destination.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = back_up(settings, destination, now=utc_now()).folder
    for earlier in backups_of(destination):  # of tries that failed
        if earlier != folder:
            shutil.rmtree(earlier)
    return str(folder)


def _destination(settings: Settings) -> Path:
    """A folder for backups, on the lake's own disk: there its files are hard links."""
    lake, data = Path(settings.resolved_lake_path), settings.data_dir
    if not lake.exists() or lake.stat().st_dev == data.stat().st_dev:
        return data / "backups"
    return lake.with_name(f"{lake.name}.backups")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
