"""What is really older than some age, although the machine's clock may be wrong: nothing is deleted before.

Each upkeep notes the clock beside the time since the machine's start, which nobody sets. A clock that was set
forward makes everything look older, so its step is added to every age that reaches back before it. After a
step or a start of the machine nothing is deleted by its age until both have agreed for a while.
"""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingestion.json_file import write_json

TOLERANCE_SECONDS = 60.0
"""The clock may be slewed; a larger difference is a step."""
_KEEP_SECONDS = 45 * 86_400.0
_CLOSE_SECONDS = 6 * 3_600.0
_CLOSE_FOR_SECONDS = 2 * 86_400.0


@dataclass(frozen=True)
class Moment:
    """Both clocks at one moment.

    Attributes:
        boot: Names this start of the machine; empty where the system has no name for it.
        running: Seconds since then, sleep included.
        wall: The machine's clock, Unix seconds.
    """

    boot: str
    running: float
    wall: float


def this_moment() -> Moment:
    """Read both clocks."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Moment(boot, time.clock_gettime(clock), time.time())


class Ages:
    """The moments that were noted, the last of which is the present.

    Args:
        moments: In the order in which they were noted, one or more.
        steady_for: So long the clocks must have agreed.
    """

    def __init__(self, moments: Sequence[Moment], *, steady_for: timedelta) -> None:
        self._now = moments[-1].wall
        self._steps: list[tuple[float, float]] = []
        """Back from the present: for how many seconds a step has been over, and what the steps since it,
        itself included, have added to the clock."""
        passed = added = 0.0
        agreed: float | None = None
        for before, after in zip(moments[-2::-1], moments[:0:-1], strict=True):
            if before.boot != after.boot or after.running < before.running:
                agreed = passed if agreed is None else agreed
                passed += max(after.wall - before.wall, 0.0)
                continue
            step = (after.wall - before.wall) - (after.running - before.running)
            if abs(step) > TOLERANCE_SECONDS:
                agreed = passed if agreed is None else agreed
                added += step
                self._steps.append((passed, added))
            passed += after.running - before.running
        self._agreed = passed if agreed is None else agreed
        self._steady_for = steady_for.total_seconds()

    @property
    def waits(self) -> str:
        """Why nothing is deleted by its age now, as a sentence; empty when it is."""
        if self._agreed >= self._steady_for:
            return ""
        minutes = (self._steady_for - self._agreed) / 60
        return (
            "what is deleted by its age waits: the machine was started, its clock was set, or this is the "
            f"first upkeep; in {minutes:.0f} min of a steady clock upkeep deletes it"
        )

    def before(self, age: timedelta) -> datetime | None:
        """Whatever was stamped before this moment is older than an age; None while nothing is certain."""
        if self.waits:
            return None
        seconds = age.total_seconds()
        forward = max((added for passed, added in self._steps if passed < seconds), default=0.0)
        return datetime.fromtimestamp(self._now - seconds - max(forward, 0.0), UTC)


def note_moment(path: Path, moment: Moment, *, steady_for: timedelta, keep: bool = True) -> Ages:
    """Add a moment to those that were noted before.

    Args:
        path: The file with them; a damaged or missing one is begun again, and everything waits once more.
        moment: The present.
        steady_for: As Ages takes it.
        keep: Write it down.

    Raises:
        StorageError: The file cannot be written.
    """
    moments = [*_read(path), moment]
    if keep:
        write_json(path, [asdict(each) for each in _thinned(moments)])
    return Ages(moments, steady_for=steady_for)


def _read(path: Path) -> list[Moment]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return [Moment(str(e["boot"]), float(e["running"]), float(e["wall"])) for e in found]
    return []


def _thinned(moments: Sequence[Moment]) -> list[Moment]:
    """All of the last days, of those before one in some hours, and the ends of each run of the machine.

    Steps are differences, so that what is left out is in the difference of its neighbours.
    """
    kept: list[Moment] = []
    newest = moments[-1]
    for number, each in enumerate(moments):
        beside = moments[max(number - 1, 0) : number + 2]
        is_end = any(other.boot != each.boot for other in beside)
        is_recent = abs(newest.wall - each.wall) < _CLOSE_FOR_SECONDS
        is_next = not kept or abs(each.wall - kept[-1].wall) >= _CLOSE_SECONDS
        if each is newest or is_recent or ((is_end or is_next) and newest.wall - each.wall < _KEEP_SECONDS):
            kept.append(each)
    return kept[-1_000:]
