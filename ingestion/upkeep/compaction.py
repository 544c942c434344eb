"""Compaction of one table: many small files become few, rows do not change, and that is verified.

A merge inside a transaction cannot be seen before its commit, so contents are compared at one version of
the lake before and after; the old files stay on disk meanwhile (maintenance.py deletes them much later).
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname

import duckdb

from ingestion.errors import MaintenanceError
from ingestion.faultpoints import faultpoint
from ingestion.lake.flushing import flush, parquet_files
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.lake.storage import storage_of

_MOST_MERGES = 16
"""Of a table in one go; what is left is for the next. Each writes at most one file of the target's size."""


@dataclass(frozen=True)
class Table:
    """A table of the lake."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The name as SQL writes it."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in (self.schema, self.name))


@dataclass(frozen=True)
class Compaction:
    """What was done to a table, or would be.

    Attributes:
        table: `schema.name`.
        files_before: Data files that it had.
        files_after: Data files that it has now; expected ones for a dry run.
        bytes_before: Size of these files before.
        bytes_after: And after.
        rows_verified: Rows of the compacted files, equal before and after.
        seconds: Wall time.
    """

    table: str
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    rows_verified: int
    seconds: float


@dataclass(frozen=True)
class _Files:
    """A table's data files: path → bytes, and which of them have deleted rows."""

    sizes: dict[str, int]
    with_deletes: frozenset[str]

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


class Compactor:
    """Compacts one table.

    Args:
        lake: An open lake.
        table: Which table.
        lock: Makes what keeps conflicting writers out; held for one merge at a time.
        target_bytes: Smaller files are merged, until they are about as large.
        least_files: A partition is worth a merge when it has so many small files.
        delete_threshold: A file is rewritten when this share of its rows is deleted.
    """

    def __init__(
        self,
        lake: Lake,
        table: Table,
        *,
        lock: Callable[[], AbstractContextManager[object]],
        target_bytes: int,
        least_files: int,
        delete_threshold: float,
    ) -> None:
        self._lake, self._table, self._lock = lake, table, lock
        self._target, self._least, self._threshold = target_bytes, least_files, delete_threshold
        self._folder = Path(lake.settings.resolved_lake_path)
        self._found = self._files()

    @property
    def has_work(self) -> bool:
        """Whether there are enough small files, or files with deleted rows."""
        return bool(self._found.with_deletes) or bool(self._folders(self._found))

    def plan(self) -> Compaction:
        """What a compaction would do."""
        merged, folders = self._merged(self._found), self._folders(self._found)
        after = len(self._found.sizes) - len(merged) + len(folders)
        size = self._found.bytes
        return Compaction(str(self._table), len(self._found.sizes), after, size, size, 0, 0.0)

    def run(self) -> Compaction:
        """Compact.

        Raises:
            MaintenanceError: The contents differ afterwards.
            StreamBusy: The table's writer does not let go; nothing was done.
            StorageError: What the merge wrote cannot be flushed; it was rolled back.
            duckdb.Error: The merge at hand was rolled back.
        """
        begun = time.monotonic()
        verified = self._rewrite() if self._found.with_deletes else 0
        verified += self._merge()
        after = self._files()
        return Compaction(
            str(self._table),
            len(self._found.sizes),
            len(after.sizes),
            self._found.bytes,
            after.bytes,
            verified,
            round(time.monotonic() - begun, 3),
        )

    def _rewrite(self) -> int:
        """Drop deleted rows from the files. The version before still reads the old files: compare with it."""
        with self._lock():
            found = self._files()  # under the lock: deletes since the last look are rewritten as well
            untouched = [path for path in found.sizes if path not in found.with_deletes]
            done = self._commit("ducklake_rewrite_data_files", f"delete_threshold => {self._threshold}")
            made = self._lake.query(f"select * from ducklake_last_committed_snapshot('{CATALOG_NAME}')")
            faultpoint("maintenance.compacted")
        if not done:
            return 0
        version = int(made[0][0])
        before = self._digest(version - 1, untouched)
        self._compare(before, version, untouched, what="a rewrite")
        return before[0]

    def _merge(self) -> int:
        version = self._lake.snapshot_id()
        found = self._files()
        if not self._folders(found):
            return 0
        merged = self._merged(found)
        # Only what is too large for a merge: new files may bring any small one into it meanwhile.
        untouched = [path for path, size in found.sizes.items() if size >= self._target]
        # One for each file to be made, and no more: new files of a busy writer would keep us at it.
        merges = len(self._folders(found)) + sum(found.sizes[path] for path in merged) // self._target
        before = self._digest(version, untouched)
        try:
            for _ in range(min(merges, _MOST_MERGES)):
                with self._lock():
                    done = self._commit(
                        "ducklake_merge_adjacent_files",
                        f"max_compacted_files => 1, max_file_size => {self._target}",
                    )
                    faultpoint("maintenance.compacted")
                if not done:
                    break
        finally:
            self._compare(before, version, untouched, what="a merge")
        return before[0]

    def _files(self) -> _Files:
        rows = self._lake.query(
            "select data_file, data_file_size_bytes, delete_file is not null "
            f"from ducklake_list_files('{CATALOG_NAME}', ?, schema => ?)",
            [self._table.name, self._table.schema],
        )
        return _Files(
            {path: int(size) for path, size, _ in rows},
            frozenset(path for path, _, deletes in rows if deletes),
        )

    def _small(self, found: _Files) -> list[str]:
        return [path for path, size in found.sizes.items() if size < self._target]

    def _folders(self, found: _Files) -> set[str]:
        """The partitions that will be merged: all with two small files, once one of them has enough."""
        counts = Counter(dirname(path) for path in self._small(found))
        if max(counts.values(), default=0) < self._least:
            return set()
        return {folder for folder, count in counts.items() if count > 1}

    def _merged(self, found: _Files) -> set[str]:
        folders = self._folders(found)
        return {path for path in self._small(found) if dirname(path) in folders}

    def _digest(self, version: int, untouched: list[str]) -> tuple[int, int]:
        """Rows, and a sum that no order changes, of all files but the untouched, at a version."""
        rows = self._lake.query(
            "select count(*), coalesce(sum(hash(part)), 0) from ("
            f"select * from {self._table.sql} at (version => {version}) "
            "where not list_contains(?::varchar[], filename)) as part",
            [untouched],
        )
        return int(rows[0][0]), int(rows[0][1])

    def _commit(self, function: str, options: str) -> bool:
        """Call one of DuckLake's functions, with what it wrote on the disk before the catalog knows it."""
        connection, before = self._lake.connection, self._on_disk()
        connection.execute("begin")
        try:
            done = connection.execute(
                f"call {function}('{CATALOG_NAME}', ?, schema => ?, {options})",
                [self._table.name, self._table.schema],
            ).fetchall()
            flush(self._on_disk() - before, folder=self._folder, may_be_gone=True)
            connection.execute("commit")
        except BaseException:
            self._lake.close()  # also rolls back
            raise
        return bool(done)

    def _on_disk(self) -> frozenset[Path]:
        """The files in the folders in which the table's files are; none where storage flushes by itself."""
        if not storage_of(self._lake.settings).linkable:
            return frozenset()
        return parquet_files({Path(dirname(path)) for path in self._files().sizes})

    def _compare(self, before: tuple[int, int], version: int, untouched: list[str], *, what: str) -> None:
        try:
            after = self._digest(version, untouched)
        except duckdb.Error as error:
            raise MaintenanceError(self._complaint(f"cannot be read after {what} ({error})")) from None
        if after != before:
            change = f"was changed by {what}: rows and checksum were {before}, are {after}"
            raise MaintenanceError(self._complaint(change))

    def _complaint(self, what: str) -> str:
        return (
            f"table {self._table} {what}; nothing was deleted yet, stop the schedule 'regular_upkeep' before "
            "its grace of a day is over and restore the catalog from a backup"
        )
