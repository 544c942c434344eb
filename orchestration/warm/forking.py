"""Forking with care on Linux: no threads at the fork, no orphan after it, no shared terminal.

Only process mechanics; what a child does is a function it is given. See prctl(2) for the two flags.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ADOPTION_SECONDS = 5.0


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent_pid: int, *, signal_number: int) -> None:
    """Ask the kernel for a signal when the parent ends, and end at once if it already has."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        os._exit(1)


def other_threads() -> list[str]:
    """Names of the threads besides the main one, Python's and native ones (/proc/self/task)."""
    python = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    native = []
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            try:
                native.append(Path(f"/proc/self/task/{task}/comm").read_text().strip())
            except FileNotFoundError:  # it ended meanwhile
                continue
    return python if len(python) >= len(native) else native


def spawn(body: Callable[[], int], *, log_path: Path | None) -> int:
    """Fork a child of this process that runs ``body`` in a session of its own.

    Args:
        body: what the child does; its return value is the exit code.
        log_path: the file the child's output is appended to; None leaves the output where it is.

    Returns:
        The child's process id.
    """
    parent_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        _run_as_child(body, parent_pid, log_path)
    return pid


def spawn_for(keeper_pid: int, body: Callable[[], int], *, log_path: Path) -> int:
    """Fork a process that belongs to ``keeper_pid``, which adopts orphans, not to the caller.

    Returns:
        The new process's id.
    """
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(writer)
            deadline = time.monotonic() + _ADOPTION_SECONDS
            while os.getppid() != keeper_pid and time.monotonic() < deadline:
                time.sleep(0.0005)
            _run_as_child(body, keeper_pid, log_path)
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.close(writer)
    try:
        answer = os.read(reader, 32)
    finally:
        os.close(reader)
        os.waitpid(middle, 0)
    if not answer:
        raise OSError("the process for the run could not be forked: memory or process ids are used up")
    return int(answer)


def _run_as_child(body: Callable[[], int], parent_pid: int, log_path: Path | None) -> None:
    """Never returns: a child must not unwind into the loop it was forked from."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        die_with(parent_pid, signal_number=signal.SIGTERM)
        if log_path is not None:
            redirect_output(log_path)
        faulthandler.enable()
        code = body()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # A normal interpreter exit frees the heap object by object, copying shared pages on the way.
        try:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def redirect_output(log_path: Path) -> None:
    """Append what this process prints to a file from now on."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _prctl(option: int, value: int) -> None:
    if not sys.platform.startswith("linux"):
        raise OSError("the warm process needs Linux: remove run_launcher from dagster.yaml to use Dagster's")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}) failed: {os.strerror(number)}")
