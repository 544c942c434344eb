"""DuckDB's extensions are libraries of code: each is proven to be its wheel's before it is loaded.

Its hash stands in the wheel's RECORD, which pip checked. What was proven once is noted in the data folder, by
path, inode, size and times. Nobody else may be able to replace a file or a folder on the way to it.
"""

import base64
import hashlib
import json
import os
import stat
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import duckdb

from ingestion.errors import ConfigError
from ingestion.json_file import write_json

_PROVEN_FILE = "proven.json"


def proven_extension(name: str, *, folder: Path) -> Path:
    """The library of an extension.

    Args:
        name: As its wheel is called, `duckdb-extension-<name>`.
        folder: Where proofs are noted: the extensions' folder in the data folder.

    Raises:
        ConfigError: The wheel is missing, the file is not the wheel's, or somebody else may replace it.
        StorageError: The folder cannot be written.
    """
    package = f"duckdb-extension-{name}"
    wanted = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError:
        raise ConfigError(f"the package {package} is missing: install the locked requirements") from None
    entry = next((file for file in files if file.as_posix().endswith(wanted)), None)
    if entry is None or entry.hash is None or entry.hash.mode != "sha256":
        raise ConfigError(f"{package} has no hash of {wanted} in its RECORD: install its wheel again")
    path = Path(str(entry.locate())).resolve()
    refuse_replaceable(path)
    _prove(path, entry.hash.value, package=package, notes=folder / _PROVEN_FILE)
    return path


def refuse_replaceable(path: Path) -> None:
    """Refuse a file or folder that another user may replace: by writing to it, or to a folder above it.

    Whoever owns the file of this very code is trusted: he could replace it as well.

    Raises:
        ConfigError: Names the file or folder, and the remedy.
    """
    trusted = {0, os.geteuid(), Path(__file__).stat().st_uid}
    for each in (path, *path.parents):
        try:
            found = each.stat()
        except OSError as error:
            raise ConfigError(f"{each} cannot be read ({error.strerror}): correct its permissions") from None
        others_write = bool(found.st_mode & stat.S_IWOTH) or (
            bool(found.st_mode & stat.S_IWGRP) and found.st_gid not in {0, *_own_groups(trusted)}
        )
        sticky = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
        if found.st_uid not in trusted or (others_write and not sticky):
            raise ConfigError(
                f"another user can replace {each}, from which code of DuckDB is loaded: let it belong to you "
                f"or root, and run 'chmod go-w {each}'"
            )


def _own_groups(users: set[int]) -> set[int]:
    """The groups of users that have the same number as their only member, as many systems make them."""
    return users - {0}


def _prove(path: Path, expected: str, *, package: str, notes: Path) -> None:
    try:
        found = path.stat()
        proof = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, expected]
        known = _proofs(notes)
        if known.get(str(path)) == proof:
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): install {package} again") from None
    if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != expected:
        raise ConfigError(
            f"{path} is not the file that the package {package} came with: install that package again, and "
            "find out who changed the file"
        )
    write_json(notes, known | {str(path): proof})


def _proofs(notes: Path) -> dict[str, object]:
    """What was proven; nothing where somebody else may have written the notes."""
    with suppress(OSError, ValueError, ConfigError):
        refuse_replaceable(notes)
        found = json.loads(notes.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
