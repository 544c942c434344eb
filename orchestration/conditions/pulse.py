"""A pulse: when a process last did what it is there for, or found that there was nothing to do.

A process that lives and does no work has no new one. It is a small file in the data folder, so that it can be
felt without a database. Times are seconds of the machine's monotonic clock, which all its processes share.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from ingestion.json_file import write_json

_FOLDER = "pulse"


@dataclass(frozen=True)
class Pulse:
    """What was felt.

    Attributes:
        seconds: How long ago the last one was.
        doing: What the process was about to do then; empty when it had ended its work.
    """

    seconds: float
    doing: str


def beat(data_dir: Path, name: str, *, doing: str = "") -> None:
    """Have a pulse now.

    Args:
        data_dir: The data folder.
        name: Whose.
        doing: What begins now; empty when a piece of work has ended.

    Raises:
        StorageError: The file cannot be written.
    """
    write_json(data_dir / _FOLDER / f"{name}.json", {"at": time.monotonic(), "doing": doing})


def feel(data_dir: Path, name: str) -> Pulse | None:
    """The last pulse; None when there was none since the machine started."""
    try:
        found = json.loads((data_dir / _FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        seconds = time.monotonic() - float(found["at"])
        return Pulse(seconds, str(found["doing"])) if seconds >= 0 else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
