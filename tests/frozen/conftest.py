"""Fixtures of the frozen tests: the command, and the golden folder opened in a place of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from tests.frozen import golden
from tests.frozen.commands import Commands, Result
from tests.frozen.product import Lake, Settings, load_settings


@dataclass(frozen=True)
class Place:
    """A lake where the golden folder was opened.

    Attributes:
        data: Its data folder.
        catalog: Its catalog's URL.
        commands: Runs `millrace`.
    """

    data: Path
    catalog: str
    commands: Commands

    def settings(self) -> Settings:
        """Settings of it, for what has no command."""
        return load_settings(
            data_dir=self.data,
            catalog=self.catalog,
            streams_file=golden.STREAMS_FILE,
            source_timeout_seconds=5,
        )

    def millrace(self, *arguments: str, **variables: object) -> Result:
        """Run a command on it."""
        wanted = {"data_dir": self.data, "catalog": self.catalog, "streams_file": golden.STREAMS_FILE}
        return self.commands.run(*arguments, **(wanted | variables))

    def query(self, sql: str) -> pa.Table:
        """A SELECT on it."""
        with Lake(self.settings(), read_only=True) as lake:
            return lake.query_arrow(sql)


@pytest.fixture
def unpacked(tmp_path: Path) -> golden.Golden:
    """The golden folder's files, in a fresh folder."""
    return golden.unpack(tmp_path / "golden")


@pytest.fixture
def place(unpacked: golden.Golden, new_database: Callable[[], str], commands: Commands) -> Place:
    """The golden folder, opened: files and catalog."""
    catalog = new_database()
    golden.load_dump(catalog, unpacked.catalog, lake=unpacked.data / "lake")
    return Place(unpacked.data, catalog, commands)
