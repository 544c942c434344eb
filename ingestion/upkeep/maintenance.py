"""Upkeep of the lake: compaction, expiry of snapshots, and deletion of files that nobody needs.

Safe beside writers and readers, and to be killed anywhere: docs/operations.md. Schedules do not belong here.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from ingestion.declare.stream import Stream
from ingestion.errors import CatalogUnavailable, MaintenanceError, MillraceError, StreamBusy
from ingestion.faultpoints import faultpoint
from ingestion.lake.catalog import lock_session, process_name, writer_lock
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.serve.consumers import consumed_until
from ingestion.settings import Settings
from ingestion.upkeep.ages import Ages
from ingestion.upkeep.compaction import Compaction, Compactor, Table
from ingestion.upkeep.files import dead_work_folders, old_logs, remove_work_folder, trim_spool
from ingestion.upkeep.orphans import find_orphans, known_files
from ingestion.upkeep.versions import expire_versions, read_versions, versions_to_expire

_LOCK_SECONDS = 3.0


@dataclass(frozen=True)
class Limits:
    """How much upkeep leaves alone.

    Attributes:
        target_file_bytes: Smaller files are merged.
        least_files: So many small files in one partition make a merge worth while.
        delete_threshold: Files with a larger share of deleted rows are rewritten.
        keep_every_snapshot: Each version stays so long …
        keep_snapshots: … and the last of each hour so long: how far time travel reaches back.
        keep_unread: Versions that a consumer of the lake has not read stay so long.
        grace: For so long a file stays after its last reader may have planned on it.
        orphan_age: A file of a writer that the catalog does not know is deleted when it is older; writers
            write their files before they commit.
        keep_logs: Rotated logs stay so long.
        work_age: A dead batch's folder in which so long nothing happened is deleted.
        steady_for: Nothing is deleted by its age before the clock was steady for so long (ages.py).
    """

    target_file_bytes: int = 128 * 2**20
    least_files: int = 8
    delete_threshold: float = 0.2
    keep_every_snapshot: timedelta = timedelta(minutes=30)
    keep_snapshots: timedelta = timedelta(days=7)
    keep_unread: timedelta = timedelta(hours=2)
    grace: timedelta = timedelta(days=1)
    orphan_age: timedelta = timedelta(days=2)
    keep_logs: timedelta = timedelta(days=30)
    work_age: timedelta = timedelta(hours=1)
    steady_for: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Report:
    """What upkeep did, or would do.

    Attributes:
        dry_run: Nothing was changed.
        tables: The tables that were compacted.
        snapshots_expired: Versions that time travel no longer reaches.
        files_deleted: Files of the lake that no version holds any more.
        orphans_deleted: Files of dead writers, which the catalog never knew.
        segments_trimmed: Spool segments below the ledger's position.
        folders_removed: Work folders of dead batches.
        logs_removed: Rotated logs.
        skipped: Sentences: what was busy and waits for the next time.
        failed: Sentences: what went wrong; the rest was done all the same.
        seconds: Wall time.
    """

    dry_run: bool
    tables: tuple[Compaction, ...]
    snapshots_expired: int
    files_deleted: int
    orphans_deleted: int
    segments_trimmed: int
    folders_removed: int
    logs_removed: int
    skipped: tuple[str, ...]
    failed: tuple[str, ...]
    seconds: float


def maintain(
    lake: Lake,
    streams: Sequence[Stream],
    *,
    now: datetime,
    dry_run: bool = False,
    limits: Limits = Limits(),
    needed: Collection[int] = (),
    ages: Ages | None = None,
) -> Report:
    """Do all upkeep once.

    Args:
        lake: The lake, for this call alone.
        streams: The declared streams.
        now: UTC.
        dry_run: Say what would be done.
        limits: What to leave alone.
        needed: Versions that stay as long as the hourly ones do.
        ages: What is really older than an age; left out, the clock is believed.

    Raises:
        StreamBusy: Another upkeep is at work.
        MaintenanceError: A compaction changed what a table holds; nothing was deleted afterwards.
        CatalogUnavailable: The catalog does not answer.
    """
    with upkeep_lock(lake.settings):
        return _Upkeep(lake, streams, now=now, dry_run=dry_run, limits=limits, needed=needed, ages=ages).run()


def upkeep_lock(settings: Settings) -> AbstractContextManager[None]:
    """Keep upkeep from deleting anything while the block runs; StreamBusy while it is at work."""
    return _advisory_lock(settings, "millrace maintain", what="upkeep of this lake")


class _Upkeep:
    """One pass."""

    def __init__(
        self,
        lake: Lake,
        streams: Sequence[Stream],
        *,
        now: datetime,
        dry_run: bool,
        limits: Limits,
        needed: Collection[int],
        ages: Ages | None,
    ) -> None:
        self._lake, self._streams, self._now, self._dry_run = lake, streams, now, dry_run
        self._limits, self._needed, self._ages = limits, needed, ages
        self._skipped: list[str] = [ages.waits] if ages and ages.waits else []
        self._failed: list[str] = []

    def run(self) -> Report:
        begun = time.monotonic()
        tables = self._compact()
        expired = self._expire()
        faultpoint("maintenance.expired")
        unused = self._before(self._limits.grace)
        deleted = self._call("ducklake_cleanup_old_files", older_than=unused) if unused else 0
        orphans = self._delete_orphans()
        faultpoint("maintenance.cleaned")
        segments = 0 if self._dry_run else self._trim_spools()
        return Report(
            dry_run=self._dry_run,
            tables=tuple(tables),
            snapshots_expired=expired,
            files_deleted=deleted,
            orphans_deleted=orphans,
            segments_trimmed=segments,
            folders_removed=self._remove_work_folders(),
            logs_removed=self._remove_logs(),
            skipped=tuple(self._skipped),
            failed=tuple(self._failed),
            seconds=round(time.monotonic() - begun, 3),
        )

    def _compact(self) -> list[Compaction]:
        if not self._dry_run:
            self._set_target()
        done: list[Compaction] = []
        for table in self._tables():
            with self._recorded(f"table {table}"):
                compactor = Compactor(
                    self._lake,
                    table,
                    lock=self._lock(table),
                    target_bytes=self._limits.target_file_bytes,
                    least_files=self._limits.least_files,
                    delete_threshold=self._limits.delete_threshold,
                )
                if compactor.has_work:
                    done.append(compactor.plan() if self._dry_run else compactor.run())
        return [work for work in done if self._dry_run or work.rows_verified]

    def _set_target(self) -> None:
        """DuckLake keeps the size of merged files in the catalog."""
        wanted = str(self._limits.target_file_bytes)
        known = self._lake.query(
            f"select value from ducklake_options('{CATALOG_NAME}') "
            "where option_name = 'target_file_size' and scope = 'GLOBAL'"
        )
        if known != [(wanted,)]:
            self._lake.query(f"call {CATALOG_NAME}.set_option('target_file_size', '{wanted}B')")

    def _tables(self) -> list[Table]:
        rows = self._lake.query(
            "select schema_name, table_name from duckdb_tables() where database_name = ? order by all",
            [CATALOG_NAME],
        )
        return [Table(*row) for row in rows]

    def _lock(self, table: Table) -> Callable[[], AbstractContextManager[object]]:
        """What keeps a table's conflicting writers out.

        A model's writer deletes, which fails when its table is compacted meanwhile: it takes its turn by
        the lock that dbt takes. Shared tables of raw are only appended to, which nothing disturbs.
        """
        settings = self._lake.settings
        if table.schema != "raw":
            return lambda: _advisory_lock(settings, f"millrace {table}", what=f"table {table}")
        if table.name in {stream.name for stream in self._streams}:
            return lambda: writer_lock(settings, table.name, application_name=self._lake.application_name)
        return nullcontext

    def _expire(self) -> int:
        """Expire versions; returns how many."""
        expired = 0
        recent = self._before(self._limits.keep_every_snapshot)
        hourly = self._before(self._limits.keep_snapshots)
        unread = self._before(self._limits.keep_unread)
        if recent is None or hourly is None or unread is None:
            return 0
        with self._recorded("versions of the lake"):
            doomed = versions_to_expire(
                read_versions(self._lake),
                now=self._now,
                keep_all=self._now - recent,
                keep_hourly=self._now - hourly,
                needed=self._needed,
                unread=consumed_until(self._lake.settings),
                keep_unread=self._now - unread,
            )
            if not self._dry_run:
                expire_versions(self._lake, doomed)
            expired = len(doomed)
        return expired

    def _call(self, function: str, *, older_than: datetime) -> int:
        """Call one of DuckLake's functions; it returns a row for each thing that it removed."""
        rows: list[tuple[object, ...]] = []
        with self._recorded(function):
            rows = self._lake.query(
                f"call {function}('{CATALOG_NAME}', older_than => ?::timestamptz, dry_run => ?)",
                [older_than, self._dry_run],
            )
        return len(rows)

    def _delete_orphans(self) -> int:
        """Delete what dead writers left; whoever may be writing a file is kept out, whatever its age."""
        deleted = 0
        before = self._before(self._limits.orphan_age)
        for table, files in (find_orphans(self._lake, before=before) if before else {}).items():
            with self._recorded(f"orphans of {table}"), ExitStack() as held:
                for lock in self._writers(Table(*table.split("/"))):
                    held.enter_context(lock())
                unknown = set(map(str, files)) - known_files(self._lake)
                for path in [] if self._dry_run else unknown:
                    Path(path).unlink(missing_ok=True)
                deleted += len(unknown)
        return deleted

    def _writers(self, table: Table) -> list[Callable[[], AbstractContextManager[object]]]:
        """The locks of everybody who writes a table: the shared tables of raw are in every batch."""
        if (lock := self._lock(table)) is not nullcontext:
            return [lock]
        return [self._lock(Table("raw", stream.name)) for stream in self._streams]

    def _trim_spools(self) -> int:
        trimmed = 0
        for stream in self._streams:
            with self._recorded(f"spool of '{stream.name}'"):
                trimmed += trim_spool(self._lake, stream)
        return trimmed

    def _remove_work_folders(self) -> int:
        removed = 0
        before = self._before(self._limits.work_age)
        for folder in dead_work_folders(self._lake, before=before) if before else ():
            with self._recorded(f"work folder {folder}"):
                if not self._dry_run:
                    remove_work_folder(self._lake, folder)
                removed += 1
        return removed

    def _remove_logs(self) -> int:
        before = self._before(self._limits.keep_logs)
        logs = old_logs(self._lake.settings.data_dir, before=before) if before else []
        for path in [] if self._dry_run else logs:
            path.unlink(missing_ok=True)
        return len(logs)

    def _before(self, age: timedelta) -> datetime | None:
        """The moment before which everything is older than an age; None while nothing is certain."""
        return self._now - age if self._ages is None else self._ages.before(age)

    @contextmanager
    def _recorded(self, what: str) -> Iterator[None]:
        """Turn what stops one thing into a sentence, so that the others are done."""
        try:
            yield
        except (MaintenanceError, CatalogUnavailable):
            raise
        except StreamBusy as error:
            self._skipped.append(f"{what}: {error}")
        except MillraceError as error:
            self._failed.append(f"{what}: {error}")
        except duckdb.Error as error:
            self._lake.close()  # whatever was under way is rolled back
            busy = isinstance(error, duckdb.TransactionException)
            (self._skipped if busy else self._failed).append(f"{what}: {_last_line(error)}")


@contextmanager
def _advisory_lock(settings: Settings, name: str, *, what: str) -> Iterator[None]:
    """Hold a lock of the catalog's server that dies with this process; waits a moment for it.

    Raises:
        StreamBusy: Somebody else holds it.
    """
    connection = lock_session(settings, application_name=process_name())
    deadline = time.monotonic() + _LOCK_SECONDS
    try:
        with connection.cursor() as cursor:
            while True:
                cursor.execute("select pg_try_advisory_lock(hashtext(%s))", (name,))
                if cursor.fetchone() == (True,):
                    break
                if time.monotonic() >= deadline:
                    raise StreamBusy(f"{what} is in use by another process; try again when that is done")
                time.sleep(0.1)
        yield
    finally:
        connection.close()


def _last_line(error: duckdb.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
