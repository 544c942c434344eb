"""What does not work about collectors: what they report, and those that live and collect nothing."""

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ingestion.clock import StampAges
from ingestion.collect.members import Member
from ingestion.collect.status import read_status, status_file
from orchestration.conditions.condition import Finding
from orchestration.observe.machine import runs_for
from orchestration.records.system_state import ServiceRow

_SILENT_SECONDS = 15.0  # it writes its status once a second
_IDLE_SECONDS = 30.0  # a commit takes milliseconds, and one that is impossible is an error that it reports
_RESTART = "It is ended and started again by itself, and nothing acknowledged is lost; its log may say why."


class _Work(NamedTuple):
    """How far a collector is: with the same messages waiting and the same positions, it has done nothing."""

    pid: int | None
    messages: Any
    positions: Any


class Collecting:
    """Looks at the running collectors again and again.

    Args:
        data_dir: The data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._work: dict[str, tuple[_Work, float]] = {}
        self._ages = StampAges()

    def look(self, services: Iterable[ServiceRow]) -> Iterator[Finding]:
        """What is wrong now.

        Args:
            services: The processes.
        """
        pids = {row.name: row.pid for row in services if row.running}
        self._work = {name: work for name, work in self._work.items() if name in pids}
        for name in pids:
            if (member := Member.named(name)) is None:
                continue
            status = read_status(self._data_dir, *member)
            silent = self._silent_seconds(member)
            if (runs := runs_for(pids[name])) is not None:  # what an earlier process wrote says nothing
                silent = min(silent, runs.total_seconds())
            if silent > _SILENT_SECONDS:
                yield Finding(
                    "service_stuck", name,
                    f"{name} has not written its status for more than {_SILENT_SECONDS:.0f} s: "
                    "it takes no messages",
                    _RESTART,
                )  # fmt: skip
            elif self._idle_seconds(name, pids[name], status) > _IDLE_SECONDS:
                yield Finding(
                    "service_stuck", name,
                    f"{name} has stored nothing for more than {_IDLE_SECONDS:.0f} s, although "
                    f"{status.get('unacknowledged')} messages wait",
                    _RESTART,
                )  # fmt: skip
            else:
                yield from _reported(name, status)

    def _silent_seconds(self, member: Member) -> float:
        """Since a collector wrote its status; for ever if it never did."""
        try:
            written = status_file(self._data_dir, *member).stat().st_mtime
        except OSError:
            return float("inf")
        return self._ages.of(datetime.fromtimestamp(written, UTC)).total_seconds()

    def _idle_seconds(self, name: str, pid: int | None, status: Mapping[str, Any]) -> float:
        """Since when messages wait and nothing is stored; 0 where none waits or it says what hinders it."""
        now = time.monotonic()
        work = _Work(pid, status.get("messages"), status.get("positions"))
        if (
            not status.get("unacknowledged")
            or status.get("error")
            or self._work.get(name, (None,))[0] != work
        ):
            self._work[name] = work, now
        return now - self._work[name][1]


def _reported(name: str, status: Mapping[str, Any]) -> Iterator[Finding]:
    """What a collector says of itself: in general, of single spools, and of messages that nobody takes."""
    blocked = dict(status.get("blocked_streams") or {})
    for part in ("error", "warning"):
        if status.get(part) and status[part] not in blocked.values():
            yield Finding("collector_in_trouble", f"{name} {part}", str(status[part]))
    for stream, why in blocked.items():
        yield Finding("spool_blocked", f"{name} {stream}", str(why))
    if count := int(status.get("unrouted") or 0):
        yield Finding(
            "messages_unrouted", name,
            f"{name} keeps {count:,} messages that no stream takes: they came under an earlier topic filter",
            "'millrace unrouted list' shows their topics, 'unrouted give' and 'unrouted discard' end this.",
        )  # fmt: skip
