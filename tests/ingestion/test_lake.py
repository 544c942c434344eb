"""What a lake connection allows."""

import duckdb
import pytest

from ingestion.lake import Lake


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
