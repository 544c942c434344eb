"""What a lake connection allows."""

from contextlib import closing

import duckdb
import pytest

from ingestion.lake.catalog import connect_catalog
from ingestion.lake.lake import Lake


def test_an_open_lake_loads_no_unsigned_extension(lake: Lake) -> None:
    """Ours are loaded without DuckDB's own check of them, and nothing after them is."""
    assert lake.query("select current_setting('allow_unsigned_extensions')") == [(False,)]
    with pytest.raises(duckdb.Error, match="while database is running"):
        lake.connection.execute("set allow_unsigned_extensions = true")


def test_a_watcher_gets_a_new_connection_when_its_own_is_old(lake: Lake) -> None:
    lake.prepare(["events"])
    with Lake(lake.settings, read_only=True) as reader:
        assert reader.connection is reader.connection
    with Lake(lake.settings, read_only=True, renew_seconds=0) as watcher:
        before = watcher.connection
        assert watcher.query("select count(*) from raw.events") == [(0,)]
        with pytest.raises(duckdb.ConnectionException):
            before.execute("select 1")


def test_the_catalog_is_searched_by_index_and_prepared_again_without_waiting(lake: Lake) -> None:
    """What old versions held is in the same tables: a read must not go through all of it."""
    lake.prepare(["events"])
    with (
        closing(connect_catalog(lake.settings, application_name="writer")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("set enable_seqscan = off")
        cursor.execute(
            "explain select * from ducklake.ducklake_data_file f "
            "left join ducklake.ducklake_file_column_stats s using (data_file_id) "
            "where f.table_id = 1 and (5 < f.end_snapshot or f.end_snapshot is null)"
        )
        plan = str(cursor.fetchall())
        assert "millrace_data_file" in plan
        assert "millrace_file_stats" in plan
        cursor.execute("set enable_seqscan = on; begin; delete from ducklake.ducklake_data_file where false")
        lake.prepare(["events"])  # a lock for an index would wait here for the writer
