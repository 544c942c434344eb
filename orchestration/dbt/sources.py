"""Declared streams → dbt_project/models/sources/streams.yml, so that SQL needs no second list of them.

Typing the payload is SQL's work (package/macros/typed_events.sql). Nothing here imports dbt or Dagster.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestration.dbt.columns import BATCH_COLUMNS, EVENT_COLUMNS, REJECT_COLUMNS, RESOLUTION_COLUMNS
from orchestration.dbt.meta import StreamLike, stream_meta

SOURCES_FILE = Path("models") / "sources" / "streams.yml"
_HEADER = "# Written by Millrace from streams.yml when that changes. Edit that file, not this one.\n"

_QUIET_HOURS = 24
"""`dbt source freshness` warns about a stream that brought nothing for so long."""
_MAY_BE_OLD: Mapping[str, Any] = {"freshness": None}


def render_sources(streams: Iterable[StreamLike]) -> str:
    """Render the dbt source `raw`: one table per stream, and the three tables that all streams share.

    Args:
        streams: The declared streams, in the order of the file.

    Returns:
        YAML text; equal for equal streams.
    """
    tables = [_stream_table(stream) for stream in streams]
    tables.append(
        _table(
            "batches",
            "The ledger: which positions each batch holds. One row per batch and partition.",
            BATCH_COLUMNS,
        )
    )
    tables.append(
        _table(
            "rejects",
            "What could not be decoded, with the reason. One row per event.",
            REJECT_COLUMNS,
            config=_MAY_BE_OLD,
        )
    )
    tables.append(
        _table(
            "reject_resolutions",
            "What became of rejects and of replayed events. One row per event.",
            RESOLUTION_COLUMNS,
            config=_MAY_BE_OLD,
        )
    )
    source = {
        "name": "raw",
        "description": "Events as they came, each exactly once; only Millrace writes here.",
        "database": "lake",
        "schema": "raw",
        "config": {
            "loaded_at_field": "ingested_at",
            "freshness": {"warn_after": {"count": _QUIET_HOURS, "period": "hour"}},
        },
        "tables": tables,
    }
    document = {"version": 2, "sources": [source]}
    return _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def write_sources(streams: Iterable[StreamLike], project_dir: Path) -> Path:
    """Write the rendered sources into a dbt project, atomically and only when they changed.

    An unchanged file keeps its time, so dbt's partial parsing has nothing to do.

    Args:
        streams: The declared streams.
        project_dir: Folder of dbt_project.yml.

    Returns:
        Path of the file.
    """
    path = project_dir / SOURCES_FILE
    replace_text(path, render_sources(streams))
    return path


def replace_text(path: Path, text: str) -> None:
    """Write a file atomically, and only if its text changes."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _stream_table(stream: StreamLike) -> dict[str, Any]:
    config = {"tags": list(stream.tags)} if stream.tags else None
    prose = stream.description.replace("{", "(").replace("}", ")")  # dbt would take braces for Jinja
    description = f"{prose} One row per event.".strip()
    return _table(stream.name, description, EVENT_COLUMNS, meta=stream_meta(stream), config=config)


def _table(
    name: str,
    description: str,
    columns: Mapping[str, str],
    *,
    meta: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "config": {**(config or {}), "meta": {**(meta or {}), "dagster": {"asset_key": ["raw", name]}}},
        "columns": [{"name": column, "description": text} for column, text in columns.items()],
    }
