"""A worker that waits for its run and has already opened what a run opens first.

Both sides: the process, and what the keeper knows of it. One waits at a time. It takes one run, and the next
one is forked when that run has ended. The project decides what is opened (`make_ready`).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from orchestration.warm import forking, protocol

_ANSWER_SECONDS = 5.0
_RETRY_SECONDS = 30.0


def wait_for_run(make_ready: Callable[[], None], socket_path: Path, execute: Callable[[str], int]) -> int:
    """Get ready, wait for a run on a socket, and execute it.

    A run that comes while it gets ready waits for that: another process would have to open the same.

    Args:
        make_ready: opens what the run will use.
        socket_path: where to listen.
        execute: takes the serialized ``ExecuteRunArgs``; returns an exit code.
    """
    with protocol.listen(socket_path) as server:
        make_ready()
        connection, _address = server.accept()
        socket_path.unlink(missing_ok=True)
    with connection:
        request = protocol.receive(connection)
        if request is None:
            return 1
        forking.redirect_output(Path(request["log_path"]))
        protocol.send(connection, {"pid": os.getpid()})
    return execute(str(request["run_args"]))


class WaitingWorker:
    """What the keeper knows of the worker that waits, if there is one.

    Args:
        socket_path: where it listens.
    """

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._pid: int | None = None
        self._next_s = 0.0

    @property
    def ready_pid(self) -> int | None:
        """Process id of the one that could take a run now, or as soon as it is ready."""
        return self._pid if self.socket_path.exists() else None

    def is_wanted(self) -> bool:
        """Whether one should be forked now; after one that ended by itself, only some time later."""
        return self._pid is None and time.monotonic() >= self._next_s

    def note_started(self, pid: int) -> None:
        """Note the process id of a new one."""
        self._pid = pid

    def take(self, *, run_args: str, log_path: Path) -> int | None:
        """Give it a run; returns its process id, or None if none is ready."""
        pid = self.ready_pid
        if pid is None:
            return None
        request = {"run_args": run_args, "log_path": str(log_path)}
        try:
            protocol.call(self.socket_path, request, timeout_s=_ANSWER_SECONDS)
        except (protocol.WarmProcessAway, protocol.WarmProcessBusy) as error:
            print(f"The worker that waited did not take its run: {error}", file=sys.stderr, flush=True)
            self.drop()
            return None
        self._pid = None
        return pid

    def ended(self, pid: int) -> None:
        """Note that a process ended; other processes are ignored."""
        if pid == self._pid:
            self._pid = None
            self.socket_path.unlink(missing_ok=True)
            self._next_s = time.monotonic() + _RETRY_SECONDS

    def drop(self) -> None:
        """End it: its code is old, or the keeper stops."""
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._pid = None
        self.socket_path.unlink(missing_ok=True)
