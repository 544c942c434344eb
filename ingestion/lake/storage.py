"""Where the lake's Parquet files are. A kind of storage is a scheme and what DuckDB needs for it.

So far there is one, a folder; object stores come with their secrets and tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ingestion.errors import ConfigError
from ingestion.settings import Settings


class Storage(Protocol):
    """One kind of storage.

    Attributes:
        scheme: What its addresses begin with, before `://`; empty for a folder.
        extensions: DuckDB's extensions that read it.
        linkable: Its files are files of this machine: the system caches what was read, backups link them.
    """

    @property
    def scheme(self) -> str: ...  # noqa: D102
    @property
    def extensions(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def linkable(self) -> bool: ...  # noqa: D102

    def secret(self, settings: Settings) -> str | None:
        """SQL that creates DuckDB's secret for it; None where it needs none."""
        ...


@dataclass(frozen=True)
class FolderStorage:
    """A folder of this machine."""

    scheme: str = ""
    extensions: tuple[str, ...] = ()
    linkable: bool = True

    def secret(self, settings: Settings) -> str | None:
        """None: the files' permissions are all there is."""
        return None


STORAGES: Mapping[str, Storage] = {each.scheme: each for each in (FolderStorage(),)}
"""Scheme → storage: the only list of them."""


def storage_of(settings: Settings) -> Storage:
    """The storage of the configured lake.

    Raises:
        ConfigError: MILLRACE_LAKE_PATH names an address of another kind.
    """
    path = settings.resolved_lake_path
    scheme = path.split("://")[0] if "://" in path else ""
    if scheme not in STORAGES:
        raise ConfigError(
            f"MILLRACE_LAKE_PATH is {path}, and a lake cannot be kept in '{scheme}' storage; name a folder"
        )
    return STORAGES[scheme]
