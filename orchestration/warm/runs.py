"""The table of runs: which process executes which run, how it ended, and what is left to do about it.

No sockets and no templates (keeper.py). When a run's process dies
without reporting, a forked helper records its end.
"""

from __future__ import annotations

import os
import signal
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from orchestration.warm import forking, stall

_REMEMBERED_ENDS = 1000
_KEPT_LOGS = 200
_DONE_CODES = (86, 87)  # worker.DONE and DONE_WITH_FAILURE; that module is too heavy to import here


@dataclass
class _Live:
    run_id: str
    run_args: str
    watch: stall.Watch
    kill_at: float | None = None  # monotonic seconds
    stalled: stall.Stall | None = None


class RunTable:
    """Processes of runs by run id.

    Args:
        log_dir: folder of the output files; only those of runs that failed are kept, and of them the newest.
        grace_seconds: seconds a run gets to end itself after ``terminate``.
        stall_seconds: seconds for which a run may not get on; 0: for ever.
    """

    def __init__(self, log_dir: Path, *, grace_seconds: float, stall_seconds: float = 0.0) -> None:
        self._log_dir = log_dir
        self._grace_seconds, self._stall_seconds = grace_seconds, stall_seconds
        self._live: dict[int, _Live] = {}
        self._recorders: set[int] = set()
        self._ends: OrderedDict[str, str | None] = OrderedDict()

    def log_path(self, run_id: str) -> Path:
        """The file a run's output goes to."""
        return self._log_dir / f"{Path(run_id).name}.log"

    def add(self, run_id: str, *, pid: int, run_args: str) -> None:
        """Note that ``pid`` executes the run."""
        watch = stall.Watch(pid, self._stage_file(run_id), limit_seconds=self._stall_seconds)
        self._live[pid] = _Live(run_id, run_args, watch)

    def alive(self) -> list[str]:
        """Run ids with a living process."""
        return [live.run_id for live in self._live.values()]

    def recording(self) -> bool:
        """Whether the end of some run is still being recorded."""
        return bool(self._recorders)

    def terminate(self, run_id: str) -> bool:
        """Ask the run's process to end, and kill it when the grace is over; False if it has no process."""
        for pid, live in self._live.items():
            if live.run_id == run_id:
                os.kill(pid, signal.SIGTERM)
                live.kill_at = live.kill_at or time.monotonic() + self._grace_seconds
                return True
        return False

    def next_wait(self, at_most: float) -> float:
        """Seconds until a run has to be killed, at most ``at_most``."""
        deadlines = [live.kill_at for live in self._live.values() if live.kill_at is not None]
        return min([at_most, *(max(0.0, deadline - time.monotonic()) for deadline in deadlines)])

    def kill_overdue(self) -> None:
        """Kill the process groups whose grace is over."""
        for pid, live in self._live.items():
            if live.kill_at is not None and time.monotonic() >= live.kill_at:
                _kill_group(pid)

    def kill_stalled(self) -> None:
        """Kill the process groups of runs that do not get on: nothing committed is lost."""
        for pid, live in self._live.items():
            if live.stalled is None and (stalled := live.watch.look()) is not None:
                live.stalled = stalled
                _kill_group(pid)

    def _stage_file(self, run_id: str) -> Path:
        return self.log_path(run_id).with_suffix(".stage")

    def health(self, run_id: str) -> dict[str, object]:
        """State of a run's process: ``running``, ``finished``, ``died`` (with a reason) or ``unknown``."""
        if run_id in self.alive():
            return {"state": "running"}
        if run_id not in self._ends:
            return {"state": "unknown"}
        reason = self._ends[run_id]
        return {"state": "finished"} if reason is None else {"state": "died", "reason": reason}

    def ended(self, pid: int, *, wait_status: int) -> None:
        """Note that a process ended; unknown ones are ignored.

        Args:
            pid: a child that has ended and is not yet reaped, so that its group cannot be another's.
            wait_status: as from waitpid(2).
        """
        self._recorders.discard(pid)
        live = self._live.pop(pid, None)
        if live is None:
            return
        _kill_group(pid)  # what it started must not outlive it
        code = os.waitstatus_to_exitcode(wait_status)
        log = self.log_path(live.run_id)
        self._stage_file(live.run_id).unlink(missing_ok=True)
        if code in _DONE_CODES:
            self._remember(live.run_id, None)
            if code == _DONE_CODES[0]:
                log.unlink(missing_ok=True)
            else:
                self.prune_logs()
            return
        if live.stalled is not None:
            reason = f"The process of the run was ended because {live.stalled.why}; its output is in {log}."
        else:
            reason = (
                f"The process of the run {_in_words(code)} before the run was over; its output is in {log}."
            )
        self._remember(live.run_id, reason)
        self._record(live, reason)
        self.prune_logs()

    def prune_logs(self) -> None:
        """Remove the output of all but the newest runs that failed; that of living runs stays."""
        alive = set(self.alive())
        logs = [path for path in self._log_dir.glob("*.log") if path.stem not in alive]
        logs.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in logs[_KEPT_LOGS:]:
            path.unlink(missing_ok=True)

    def _record(self, live: _Live, reason: str) -> None:
        def body() -> int:
            from orchestration.warm import worker

            return worker.record_end(live.run_args, reason, tags=live.stalled.tags if live.stalled else {})

        self._recorders.add(forking.spawn(body, log_path=self.log_path(live.run_id)))

    def _remember(self, run_id: str, reason: str | None) -> None:
        self._ends[run_id] = reason
        while len(self._ends) > _REMEMBERED_ENDS:
            self._ends.popitem(last=False)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    return f"was ended by {signal.Signals(-code).name}"
