"""The files of a load that are flushed are those that it has written, however they are found."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ingestion.lake import flushing, loader
from ingestion.lake.dlt_lake import ROWS_A_GROUP
from ingestion.lake.lake import Lake
from ingestion.lake.loader import Loader
from ingestion.log.envelope import BATCH_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
IDS = {
    "events": "_dlt_load_id",
    "rejects": "_dlt_load_id",
    "batches": "_dlt_load_id",
    "_dlt_loads": "load_id",
}
FILES = " union all ".join(
    f"select distinct filename from raw.{table} where {column} = $id" for table, column in IDS.items()
)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[set[Path]]:
    """What each call flushed."""
    calls: list[set[Path]] = []
    original = flushing.flush

    def flush(paths: set[Path], *, folder: Path, may_be_gone: bool = False) -> None:
        calls.append(set(paths))
        original(paths, folder=folder, may_be_gone=may_be_gone)

    monkeypatch.setattr(flushing, "flush", flush)
    monkeypatch.setattr(loader, "flush", flush)
    return calls


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The loads for which the lake was asked."""
    loads: list[str] = []
    original = loader.flush_load

    def flush_load(connection: object, tables: object, load_id: str, *, folder: Path) -> None:
        loads.append(load_id)
        original(connection, tables, load_id, folder=folder)  # type: ignore[arg-type]

    monkeypatch.setattr(loader, "flush_load", flush_load)
    return loads


def tables(*moments: datetime | None, rejects: bool = True) -> Mapping[str, pa.Table]:
    """Events and a reject that came at these moments, and their ledger's row."""
    rows = [
        {
            "batch_id": 1,
            "source_partition": "0",
            "position": number,
            "event_id": f"0@{number}",
            "ingested_at": at,
        }
        for number, at in enumerate(moments)
    ]
    reject = {"stream": "events", "reason": "not_json", **rows[0]}
    ledger = {"stream": "events", "batch_id": 1, "source_partition": "0", "ingested_at": moments[0]}
    return {
        "events": pa.Table.from_pylist(rows, schema=EVENT_SCHEMA),
        "rejects": pa.Table.from_pylist([reject] if rejects else [], schema=REJECT_SCHEMA),
        "batches": pa.Table.from_pylist([ledger], schema=BATCH_SCHEMA),
    }


def files(lake: Lake, load_id: str) -> set[Path]:
    return {Path(name) for (name,) in lake.connection.execute(FILES, {"id": load_id}).fetchall()}


def test_a_load_flushes_what_it_wrote_without_asking_the_lake(
    lake: Lake, flushed: list[set[Path]], asked: list[str]
) -> None:
    lake.prepare(["events"])
    loads = Loader(lake)
    loads.load("events", tables(MIDNIGHT))
    first = len(flushed)
    before_midnight = MIDNIGHT - timedelta(seconds=1)
    long_before = MIDNIGHT - timedelta(days=400)
    days = [tables(MIDNIGHT), tables(before_midnight, MIDNIGHT), tables(long_before, None)]
    written = [files(lake, loads.load("events", day)) for day in days]
    assert flushed[first:] == written
    assert [len(each) for each in written] == [4, 5, 5]
    assert len(asked) <= 1, "but for what dlt writes once"


def test_a_table_that_is_elsewhere_is_asked_for(
    lake: Lake, flushed: list[set[Path]], asked: list[str], tmp_path: Path
) -> None:
    lake.prepare(["events"])
    loads = Loader(lake)
    for _ in range(2):
        loads.load("events", tables(MIDNIGHT))
    before = len(asked)
    loads._written._places["events"] = tmp_path / "elsewhere"
    moved = loads.load("events", tables(MIDNIGHT))
    assert (asked[before:], flushed[-1]) == ([moved], files(lake, moved))
    found = loads.load("events", tables(MIDNIGHT))
    assert (asked[before:], flushed[-1]) == ([moved], files(lake, found))


@pytest.mark.parametrize(("rows", "most"), [(ROWS_A_GROUP, 1), (2 * ROWS_A_GROUP, 2)])
def test_a_load_takes_a_thread_for_each_group_of_rows_and_leaves_all_to_who_reads(
    lake: Lake, rows: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.prepare(["events"])
    groups: list[int] = []

    def look(point: str) -> None:
        if point == "loader.normalized":
            (file,) = (lake.settings.data_dir / "work").rglob("events.*.parquet")
            groups.append(parquet.ParquetFile(file).num_row_groups)

    monkeypatch.setattr(loader, "faultpoint", look)

    def threads() -> int:
        return int(lake.query("select current_setting('threads')")[0][0])

    before, during = threads(), list[int]()
    found = files(
        lake,
        Loader(lake).load(
            "events", tables(*[MIDNIGHT] * rows), before_commit=lambda: during.append(threads())
        ),
    )
    assert groups == [most]
    assert (during, threads()) == ([min(most, os.cpu_count() or 1)], before)
    assert len([file for file in found if "/events/" in str(file)]) == 1, "one file, of all threads"
    counted = "select count(*), count(distinct position), max(position) from raw.events"
    assert lake.query(counted) == [(rows, rows, rows - 1)]
