"""Has the project's code changed? Names, sizes and modification times of the watched files, hashed.

Costs a few milliseconds for a few hundred files, so it can be asked before every run. Contents are not read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ingestion.settings import Settings

_CODE = (".py", ".sql", ".yml", ".yaml", ".csv", ".md")
_SCHEMAS = (".avsc", ".desc", ".binpb", ".json", ".proto", ".xsd")
_SUFFIXES = _CODE + _SCHEMAS
_SKIPPED_FOLDERS = frozenset({"target", "logs", "dbt_packages", "__pycache__", "node_modules"})


def of_project(settings: Settings) -> str:
    """The state of everything that definitions are made of: code, dbt project, streams.yml."""
    return fingerprint([*settings.watched_code, settings.streams_file])


def fingerprint(watched: Iterable[Path]) -> str:
    """Hash the state of files and folders (recursively); a missing one counts as empty.

    Folders that hold outputs (`target`, `logs`, …) or begin with a dot are not entered.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in watched:
        for name, size, modified_ns in sorted(_files(str(path))):
            digest.update(f"{name}\0{size}\0{modified_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(path: str) -> Iterator[tuple[str, int, int]]:
    try:
        entries = list(os.scandir(path))
    except NotADirectoryError:
        state = os.stat(path)
        yield path, state.st_size, state.st_mtime_ns
        return
    except FileNotFoundError:
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED_FOLDERS and not entry.name.startswith("."):
                    yield from _files(entry.path)
            elif entry.name.endswith(_SUFFIXES):
                state = entry.stat()
                yield entry.path, state.st_size, state.st_mtime_ns
        except FileNotFoundError:  # an editor replaces files by renaming
            continue
