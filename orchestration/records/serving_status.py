"""What the publisher says of itself: a small file in the data folder, for `status` and the observer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ingestion.json_file import write_json

_FILE = Path("serving") / "status.json"


@dataclass(frozen=True)
class ServingStatus:
    """As of its last look.

    Attributes:
        pid: Of the publisher.
        looked_at: When, in seconds since 1970.
        published_at: When it published last; None before.
        waits_since: Since when an instant waits to be published; None where none does.
        versions: Mart → the version of the lake that is published.
        noted: Mart → when a run noted the instant that it shows, or that it is to show next.
        shown: Mart → when that instant was published; without those whose instant waits.
        rows: How many rows the last publication changed.
        seconds: How long that took.
        unfinished: Model → since when it is not built or fails its checks: its streams have no instant since.
        error: Why nothing is published; empty when all is well.
    """

    pid: int
    looked_at: float
    published_at: float | None = None
    waits_since: float | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    noted: Mapping[str, float] = field(default_factory=dict)
    shown: Mapping[str, float] = field(default_factory=dict)
    rows: int = 0
    seconds: float = 0.0
    unfinished: Mapping[str, float] = field(default_factory=dict)
    error: str = ""


def write_status(data_dir: Path, status: ServingStatus) -> None:
    """Replace the file.

    Raises:
        StorageError: It cannot be written.
    """
    write_json(data_dir / _FILE, asdict(status))


def read_status(data_dir: Path) -> ServingStatus | None:
    """What it said last; None if it never did."""
    try:
        return ServingStatus(**json.loads((data_dir / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def publishing_seconds(status: ServingStatus, *, now: float) -> dict[str, float]:
    """Mart → seconds from a run that had built and checked it to its publication; so far, where that waits.

    Args:
        status: What the publisher said last.
        now: In seconds since 1970.
    """
    return {mart: max(0.0, status.shown.get(mart, now) - noted) for mart, noted in status.noted.items()}
