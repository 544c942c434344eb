"""How fast disks fill: each upkeep notes what is free, so that it can be foreseen when one will be full."""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import StatisticsError, linear_regression

from ingestion.json_file import write_json
from ingestion.settings import Settings

_KEPT = 700  # a week of upkeep
_LOOK_BACK_SECONDS = 86_400.0
_LEAST_SECONDS = 3_600.0


@dataclass(frozen=True)
class Sample:
    """What was free once.

    Attributes:
        at: Unix seconds.
        free: Folder → free bytes of its disk; a folder whose disk another one names too is left out.
    """

    at: float
    free: dict[str, int]


def measure(settings: Settings, *, at: float) -> Sample:
    """Look at the disks of the data folder and, where it is a folder of this machine, of the lake.

    Args:
        settings: Names both.
        at: Unix seconds.
    """
    local = [] if "://" in settings.resolved_lake_path else [Path(settings.resolved_lake_path)]
    free: dict[str, int] = {}
    seen = set[int]()
    for folder in (settings.data_dir, *local):
        with suppress(OSError):
            device = folder.stat().st_dev
            if device not in seen:
                seen.add(device)
                free[str(folder)] = shutil.disk_usage(folder).free
    return Sample(at, free)


def note_space(settings: Settings, sample: Sample) -> None:
    """Add a sample to those that were noted before.

    Raises:
        StorageError: The file cannot be written.
    """
    samples = [*read_samples(settings), sample][-_KEPT:]
    write_json(_file(settings), [asdict(each) for each in samples])


def read_samples(settings: Settings) -> list[Sample]:
    """The noted samples, in order; none where nothing was noted or the file is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(_file(settings).read_text(encoding="utf-8"))
        return [Sample(float(each["at"]), dict(each["free"])) for each in found]
    return []


def seconds_until_full(samples: Sequence[Sample], folder: str) -> float | None:
    """When a disk will be full at the pace of the last day; infinite where it does not fill.

    A line through what was free, so that what upkeep deletes now and then does not count for more than it is.

    Args:
        samples: In order, the last of the present.
        folder: Whose disk.

    Returns:
        None while the pace is not known: less than an hour was noted.
    """
    now = samples[-1].at
    points = [
        (each.at - now, each.free[folder])
        for each in samples
        if folder in each.free and 0 <= now - each.at <= _LOOK_BACK_SECONDS
    ]
    if not points or -points[0][0] < _LEAST_SECONDS:
        return None
    try:
        slope = linear_regression(*zip(*points, strict=True)).slope
    except StatisticsError:
        return None
    return samples[-1].free[folder] / -slope if slope < 0 else float("inf")


def _file(settings: Settings) -> Path:
    return settings.data_dir / "upkeep" / "space.json"
