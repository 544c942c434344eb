"""Whether a run gets on. Its age says nothing, since a backfill may take hours; what it does, does.

A run says what it begins (run/stage.py writes the file). It gets on when it begins something else, or when
its processes compute, unless it says that this does not count: a loop that reads a broker computes, too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_LOOK_SECONDS = 1.0
_HALTED_SECONDS = 10.0
_LEAST_LOAD = 0.01  # of a core: less is what threads that wait use up
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stage:
    """What a run has begun.

    Attributes:
        doing: In a few words; empty when it has said nothing.
        computing_counts: Whether it gets on while its processes compute.
        tags: What to write to the run if it has to be ended here.
        number: Changes whenever it begins something.
    """

    doing: str = ""
    computing_counts: bool = True
    tags: dict[str, str] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True)
class Stall:
    """Why a run has to be ended, as the end of a sentence, and what to write to it."""

    why: str
    tags: dict[str, str]


class Watch:
    """Watches one run.

    Args:
        pid: Its process, the leader of its session.
        file: Where it says what it begins.
        limit_seconds: How long it may not get on; 0: for ever.
    """

    def __init__(self, pid: int, file: Path, *, limit_seconds: float) -> None:
        self._pid, self._file, self._limit = pid, file, limit_seconds
        self._stage = Stage()
        now = time.monotonic()
        self._got_on_at, self._cpu, self._running_at, self._next_at = now, 0.0, now, now

    def look(self) -> Stall | None:
        """Why it has to be ended, if so."""
        now = time.monotonic()
        if not self._limit or now < self._next_at:
            return None
        self._next_at = now + _LOOK_SECONDS
        states, cpu = _session(self._pid)
        if not states or states[0] not in "Tt":
            self._running_at = now
        stage = read_stage(self._file)
        computes = cpu - self._cpu > max(0.1, _LEAST_LOAD * (now - self._got_on_at))
        if stage != self._stage or (stage.computing_counts and computes):
            self._stage, self._got_on_at, self._cpu = stage, now, cpu
        if now - self._running_at > min(_HALTED_SECONDS, self._limit):
            return Stall("it had been halted", stage.tags)
        if now - self._got_on_at > self._limit:
            what = f" while {stage.doing}" if stage.doing else ""
            return Stall(f"it had not got on for {self._limit:g} s{what}", stage.tags)
        return None


def read_stage(file: Path) -> Stage:
    """What a run has said last."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return Stage(
            str(found["doing"]), bool(found["computing_counts"]), dict(found["tags"]), int(found["number"])
        )
    except (OSError, ValueError, TypeError, KeyError):
        return Stage()


def _session(pid: int) -> tuple[list[str], float]:
    """States of a session's processes, its leader's first, and the seconds that they have computed."""
    found = sorted(_processes(pid), key=lambda each: each[0] != pid)
    return [state for _, state, _ in found], sum(cpu for _, _, cpu in found)


def _processes(session: int) -> Iterator[tuple[int, str, float]]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            text = Path("/proc", name, "stat").read_text()
        except OSError:  # it ended meanwhile
            continue
        # proc(5): what follows the name in brackets, which may hold anything, begins with field 3.
        fields = text[text.rindex(")") + 2 :].split()
        if int(fields[3]) == session:
            yield int(name), fields[0], sum(map(int, fields[11:15])) / _TICKS_PER_SECOND
