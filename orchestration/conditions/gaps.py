"""The open gaps in the numbers of a stream's senders, as a build left them: a file for each stream.

The supervisor reads them without the lake, and judges them by the clock: a gap may be filled late, and a
gap that is due needs no new event to be reported.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ingestion.declare.stream import Stream
from ingestion.json_file import write_json
from ingestion.watch.sequences import Gap, described, missing_now
from orchestration.conditions.condition import Finding

_FOLDER = Path("conditions") / "gaps"


def note_gaps(data_dir: Path, stream: str, gaps: Iterable[Gap]) -> None:
    """Replace what is known of a stream; an unchanged file stays.

    Args:
        data_dir: The data folder.
        stream: The stream.
        gaps: All that are open.

    Raises:
        StorageError: The file cannot be written.
    """
    rows = [
        asdict(gap)
        | {"last_before_at": gap.last_before_at and gap.last_before_at.isoformat()}
        | {"opened_at": gap.opened_at.isoformat()}
        for gap in gaps
    ]
    if rows != _read(_file(data_dir, stream)):
        write_json(_file(data_dir, stream), rows)


def gap_findings(data_dir: Path, streams: Iterable[Stream], *, now: datetime) -> Iterator[Finding]:
    """The streams that lack more events than they may.

    Args:
        data_dir: The data folder.
        streams: The declared ones.
        now: UTC.
    """
    for stream in streams:
        sequence = stream.sequence
        if sequence is None:
            continue
        missing = missing_now(_gaps(data_dir, stream.name), sequence, now=now)
        if missing.numbers > sequence.warn:
            yield Finding("sequence_gap", stream.name, described(missing, stream.name), _remedy(stream.name))


def _remedy(stream: str) -> str:
    return (
        f"An event that comes late closes its gap. 'millrace gaps list {stream}' shows each, "
        f"'millrace gaps accept {stream} --note …' gives them up."
    )


def _gaps(data_dir: Path, stream: str) -> Iterator[Gap]:
    for row in _read(_file(data_dir, stream)):
        before = row["last_before_at"]
        times = {
            "last_before_at": datetime.fromisoformat(before) if before else None,
            "opened_at": datetime.fromisoformat(row["opened_at"]),
        }
        yield Gap(**(row | times))


def _file(data_dir: Path, stream: str) -> Path:
    return data_dir / _FOLDER / f"{stream}.json"


def _read(file: Path) -> list[dict[str, Any]]:
    """The rows of a file; none where it is missing, torn or of another release."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [row for row in rows if set(row) == set(Gap.__dataclass_fields__)]
    except (OSError, ValueError, TypeError):
        return []
