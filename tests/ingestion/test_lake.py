"""What a lake connection allows."""

import duckdb
import pytest

from ingestion.lake import Lake


def test_an_open_lake_loads_no_unsigned_extension(lake: Lake) -> None:
    """Ours are loaded without DuckDB's own check of them, and nothing after them is."""
    assert lake.query("select current_setting('allow_unsigned_extensions')") == [(False,)]
    with pytest.raises(duckdb.Error, match="while database is running"):
        lake.connection.execute("set allow_unsigned_extensions = true")
