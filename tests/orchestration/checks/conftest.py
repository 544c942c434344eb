"""One lake for all tests of checks: each uses tables of its own or cleans up."""

from collections.abc import Callable, Iterator

import duckdb
import pytest

from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from tests.orchestration.checks.helpers import STREAM


@pytest.fixture(scope="session")
def shared_lake(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Lake]:
    """A lake with the raw tables of one stream and an empty schema `marts`."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("checks"), catalog=new_database())
    with Lake(settings) as lake:
        lake.prepare([STREAM.name])
        lake.connection.execute("create schema marts")
        yield lake


@pytest.fixture
def lab(shared_lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the lake with an empty schema `lab`."""
    connection = shared_lake.connection
    connection.execute("create schema lab")
    yield connection
    for (table,) in connection.execute(
        "select table_name from duckdb_tables() where database_name = 'lake' and schema_name = 'lab'"
    ).fetchall():
        connection.execute(f"drop table lab.{table}")
    connection.execute("drop schema lab")
