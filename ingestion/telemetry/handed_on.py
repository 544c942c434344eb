"""Which trace built a mart last: for the processes that publish it, in a small file of the data folder.

Written where traces are on, and only there.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from ingestion.json_file import write_json

_FILE = Path("marts") / "traces.json"
_KEPT = 8
"""Builds of a mart: a publisher may be a few behind."""


def hand_on(data_dir: Path, marts: Iterable[str], *, traceparent: str, snapshot: int) -> None:
    """Note that a trace built some marts.

    Args:
        data_dir: The data folder.
        marts: Their names.
        traceparent: Of the cycle.
        snapshot: The version of the lake that holds them.

    Raises:
        StorageError: The file cannot be written.
    """
    known = _read(data_dir)
    for mart in marts:
        known[mart] = [*known.get(mart, []), (snapshot, traceparent)][-_KEPT:]
    write_json(data_dir / _FILE, known)


def handed_on(data_dir: Path, mart: str, *, since: int, until: int) -> str:
    """The trace that built a mart last between two versions of the lake; empty where none is known.

    Args:
        data_dir: The data folder.
        mart: Its name.
        since: The version that was shown before: its build is not meant.
        until: The version that is shown now.
    """
    builds = [traceparent for at, traceparent in _read(data_dir).get(mart, []) if since < at <= until]
    return builds[-1] if builds else ""


def _read(data_dir: Path) -> dict[str, list[tuple[int, str]]]:
    try:
        found = json.loads((data_dir / _FILE).read_text(encoding="utf-8"))
        return {
            str(mart): [(int(at), str(traceparent)) for at, traceparent in builds]
            for mart, builds in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
