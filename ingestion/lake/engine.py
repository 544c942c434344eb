"""How DuckDB starts: its extensions come from their wheels, and every file it writes is in the data folder.

What it then attaches is in lake.py.
"""

import os
import threading
from pathlib import Path
from typing import Any

import duckdb

from ingestion.errors import StorageError
from ingestion.lake.wheels import proven_extension, refuse_replaceable

EXTENSIONS = {"ducklake": "ducklake", "postgres": "postgres_scanner", "httpfs": "httpfs"}
"""The wheel's name of each → the library's own."""
UNVERIFIED = {"allow_unsigned_extensions": True}
"""For install_extensions: DuckDB would hash the libraries at each start, for 0.4 s; wheels.py does once."""


def extension_directory(data_dir: Path) -> Path:
    """Where DuckDB's extensions are installed: nothing goes to the home folder."""
    return data_dir / "extensions"


def secret_directory(data_dir: Path) -> Path:
    """Where the persistent DuckDB secrets are."""
    return data_dir / "secrets" / "duckdb"


def engine_config(data_dir: Path) -> dict[str, Any]:
    """DuckDB's start-up configuration: no download at run time, every file below the data folder."""
    return {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": True,
        "extension_directory": str(extension_directory(data_dir)),
        "secret_directory": str(secret_directory(data_dir)),
        "temp_directory": str(data_dir / "tmp"),
    }


def install_extensions(connection: duckdb.DuckDBPyConnection) -> None:
    """Install and load DuckDB's extensions from their wheels.

    Installed are links, not copies: a process that opens lakes of many data folders loads each library once.
    """
    rows = connection.execute(
        "select current_setting('extension_directory'), platform from pragma_platform()"
    )
    folder, platform = rows.fetchall()[0]
    installed = Path(folder) / f"v{duckdb.__version__}" / platform
    for name, library in EXTENSIONS.items():
        _link(proven_extension(name, folder=Path(folder)), installed / f"{library}.duckdb_extension")
        refuse_replaceable(installed)
        if name != "httpfs":
            connection.execute(f"load {name}")
    connection.execute("set allow_unsigned_extensions = false")  # for good: it cannot be turned on again


def _link(file: Path, place: Path) -> None:
    """Make a symbolic link, in one step for whoever looks at the same time; a right one stays."""
    try:
        if place.is_symlink() and Path(os.readlink(place)) == file:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f"{place.name}.{os.getpid()}.{threading.get_ident()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(file)
        fresh.replace(place)
    except OSError as error:
        raise StorageError(
            f"{place} cannot be written ({error.strerror}): make room, or let the data folder be writable"
        ) from None
