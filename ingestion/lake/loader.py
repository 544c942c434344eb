"""dlt → DuckLake: one dlt load is one transaction of the lake, over a connection that stays open.

All of a load becomes visible at once or never. Proof: docs/delivery.md. How dlt is kept from ending the
transaction itself: dlt_lake.py.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.errors import BatchFailed, StorageError
from ingestion.faultpoints import faultpoint
from ingestion.lake.flushing import LOADS, VERSIONS, flush, flush_load
from ingestion.lake.lake import Lake
from ingestion.lake.storage import storage_of
from ingestion.lake.written import WrittenFiles

RAW_SCHEMA = "raw"


class Loader:
    """Puts a batch's tables into raw, all or nothing.

    Args:
        lake: An open lake; its connection is used for every load.
    """

    def __init__(self, lake: Lake) -> None:
        from ingestion.lake import dlt_lake  # only who loads pays for dlt's import

        self._dlt = dlt_lake
        self._lake = lake
        self._work_dir = lake.settings.data_dir / "work"
        self._destination = dlt_lake.destination(lake)
        self._settled: set[frozenset[str]] = set()
        self._flushes = storage_of(lake.settings).linkable
        self._written = WrittenFiles()

    def load(self, stream: str, tables: Mapping[str, pa.Table], *, before_commit: Any = None) -> str:
        """Load tables in one transaction.

        Args:
            stream: Names the dlt pipeline and its schema. The caller holds the stream's writer lock.
            tables: Table name in raw → rows. Empty tables are left out.
            before_commit: Called without arguments when all rows are written; may raise to stop.

        Returns:
            The load id, which stands in every row's `_dlt_load_id` and in raw._dlt_loads.

        Raises:
            StorageError: The work folder cannot be written; nothing was committed.
            BatchFailed: Nothing was committed, unless the catalog's answer to the commit was lost:
                then the next batch finds out from the ledger.
        """
        self._discard_leftovers(stream)
        try:
            pipeline = self._dlt.pipeline(
                stream, destination=self._destination, schema=RAW_SCHEMA, folder=self._work_dir
            )
            pipeline.extract(self._dlt.source(stream, tables), loader_file_format="parquet")
            faultpoint("loader.extracted")
            pipeline.normalize()
            faultpoint("loader.normalized")
            return self._commit(pipeline, tables, before_commit)
        except self._dlt.PipelineStepFailed as error:
            cause = error.__cause__ or error.exception or error
            raise BatchFailed(f"stream '{stream}': the load was rolled back: {_reason(cause)}") from error
        except duckdb.Error as error:
            raise BatchFailed(
                f"stream '{stream}': the commit failed ({_reason(error)}); the next batch finds out from the "
                "ledger whether it is in the lake: is the catalog running?"
            ) from error
        except OSError as error:
            raise StorageError(
                f"stream '{stream}': the work folder {self._work_dir} cannot be written "
                f"({error.strerror or error}); nothing was loaded: make room or repair that disk"
            ) from error
        finally:
            self._discard_leftovers(stream)

    def _commit(self, pipeline: Any, tables: Mapping[str, pa.Table], before_commit: Any) -> str:
        connection = self._lake.connection
        if self._flushes:
            dlts = dict.fromkeys((LOADS, VERSIONS), pa.table({}))
            self._written.look(connection, {**tables, **dlts})
        connection.execute(f"set threads = {self._threads(tables)}")
        connection.execute("begin")
        try:
            info = pipeline.load()
            faultpoint("loader.loaded")
            written = frozenset(name for name, table in tables.items() if table.num_rows)
            self._flush(written, str(info.loads_ids[0]))
            if before_commit is not None:
                before_commit()
            connection.execute("commit")
            connection.execute("reset threads")
            self._settled.add(written)
        except BaseException:
            self._lake.close()  # also rolls back; a fresh connection cannot inherit a broken state
            raise
        faultpoint("loader.committed")
        return str(info.loads_ids[0])

    def _threads(self, tables: Mapping[str, pa.Table]) -> int:
        """As many as have a group of rows to work at: others would spin beside them."""
        rows = max((table.num_rows for table in tables.values()), default=0)
        return max(1, min(rows // self._dlt.ROWS_A_GROUP, os.cpu_count() or 1))

    def _flush(self, tables: frozenset[str], load_id: str) -> None:
        if not self._flushes:
            return
        # dlt notes another version of its schema with the first load of other tables, and then no more.
        every = tables | ({LOADS} if tables in self._settled else {LOADS, VERSIONS})
        folder = Path(self._lake.settings.resolved_lake_path)
        if (files := self._written.found(every)) is None:
            flush_load(self._lake.connection, every, load_id, folder=folder)
        else:
            flush(files, folder=folder, may_be_gone=True)

    def _discard_leftovers(self, stream: str) -> None:
        """Drop an unfinished package: its events are read again from the ledger's position."""
        shutil.rmtree(self._work_dir / stream, ignore_errors=True)


def _reason(error: BaseException) -> str:
    """What went wrong, in a line: dlt hands on a whole traceback as text, whose last line names the cause."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].strip() if any("Traceback" in line for line in lines) else lines[0]
