"""What metrics were, minute by minute: a small file each in the data folder, until it is in the lake.

Written without the lake, which may be away. What becomes of them: run/metric_history.py.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingestion.json_file import write_json

_FOLDER = Path("metrics") / "samples"
_MOST_FILES = 1_440
"""A day of minutes in which nobody takes them; older ones are given up."""


@dataclass(frozen=True)
class Sample:
    """What one metric was.

    Attributes:
        name: As Prometheus reads it.
        labels: Name → value.
        value: Its value.
    """

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Minute:
    """What all of them were at a moment.

    Attributes:
        file: That says so.
        at: In seconds since 1970.
        samples: All of them.
    """

    file: Path
    at: float
    samples: Sequence[Sample]


def note_minute(data_dir: Path, samples: Sequence[Sample], *, at: float) -> None:
    """Note what metrics are.

    Args:
        data_dir: The data folder.
        samples: All of them.
        at: The moment, in seconds since 1970.

    Raises:
        StorageError: The file cannot be written.
    """
    rows = [[each.name, dict(each.labels), each.value] for each in samples]
    write_json(data_dir / _FOLDER / f"{at:.0f}.json", {"at": at, "samples": rows})
    for file in _files(data_dir)[:-_MOST_FILES]:
        with suppress(OSError):
            file.unlink()


def noted_minutes(data_dir: Path) -> Iterator[Minute]:
    """What was noted and not taken yet, the oldest first; a file that is torn is passed over.

    Args:
        data_dir: The data folder.
    """
    for file in _files(data_dir):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            samples = [Sample(str(name), labels, float(value)) for name, labels, value in content["samples"]]
            yield Minute(file, float(content["at"]), samples)
        except (OSError, ValueError, TypeError, KeyError):
            continue


def _files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / _FOLDER).glob("*.json"), key=lambda file: (len(file.name), file.name))
