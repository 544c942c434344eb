"""Starts, watches and stops child processes; no process outlives its use or its parent.

What a service is (PostgreSQL, a broker) does not belong here, only how any of them is kept alive.
Users and parent-death signals are in launch.py.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from orchestration.services.launch import Account, launch_prefix

LOG_LIMIT_BYTES = 16 * 1024 * 1024
_LINE = 240
"""Of a log's line so many characters are quoted: Erlang writes a term of thousands in one."""

_PORTS = range(10_000, 32_000)
"""Below those of outgoing connections: nobody is lent one before its server listens, or while it restarts."""


class ServiceError(RuntimeError):
    """A service could not be started or stopped; the message is one sentence that says what to do."""


class Service(Protocol):
    """What the supervisor needs to know of anything that runs beside it."""

    @property
    def name(self) -> str:
        """Short name for logs and the status table."""

    @property
    def pid(self) -> int | None:
        """Process id, or None when it does not run."""

    def start(self) -> None:
        """Start and wait until it serves; do nothing when it runs already."""

    def stop(self) -> None:
        """Stop and wait until it is gone; do nothing when it does not run."""

    def is_running(self) -> bool:
        """Whether its process lives."""


def wait_until(condition: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.02) -> bool:
    """Poll a condition until it holds.

    Args:
        condition: Called at least once.
        timeout_s: How long to go on, in seconds.
        interval_s: Pause between two calls, in seconds.

    Returns:
        Whether the condition held before the time was up.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(interval_s)
    return True


_given: set[int] = set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment, and that was not given before.

    Raises:
        ServiceError: None was found.
    """
    for port in random.SystemRandom().sample(_PORTS, k=200):
        if port in _given:
            continue  # whoever has it may listen on it later
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise ServiceError(f"no free port between {_PORTS.start} and {_PORTS.stop}: end what uses them")


def require_free_port(port: int, *, service: str) -> None:
    """Raise ServiceError unless `service` could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServiceError(
                f"{service} cannot listen on 127.0.0.1:{port} ({error.strerror}): "
                "stop the program that uses the port, or configure another one."
            ) from error


def accepts_tcp(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def is_alive(process: psutil.Process) -> bool:
    """Whether the process runs; one that ended and was not collected yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_process(process: psutil.Process, *, stop_signal: signal.Signals, timeout_s: float) -> None:
    """Ask one process to end, wait, then kill it and nothing else."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
        if not wait_until(lambda: not is_alive(process), timeout_s=timeout_s):
            process.kill()
            wait_until(lambda: not is_alive(process), timeout_s=5)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run and how to tell that it is ready.

    Attributes:
        name: Short name; the log file is called after it.
        argv: Command with an absolute path, and its arguments.
        log_folder: Private folder for the log; made (0700) when missing.
        ready: Polled until it returns True.
        ready_timeout_s: How long that may take, in seconds.
        stop_signal: The polite request to end.
        stop_timeout_s: Seconds between that request and SIGKILL.
        env: The whole environment of the child; None hands on ours.
        cwd: Working folder; None for ours.
        account: User to run as, when we are root; None for ours.
        also_quote: Folder of further logs; the newest is quoted in errors when the child wrote to it.
    """

    name: str
    argv: Sequence[str]
    log_folder: Path
    ready: Callable[[], bool] = lambda: True
    ready_timeout_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None
    also_quote: Path | None = None


class ChildProcess:
    """One child in a session of its own; a `Service`."""

    def __init__(self, spec: ProcessSpec, *, die_with_parent: bool = True) -> None:
        self._spec = spec
        self._die_with_parent = die_with_parent
        self._popen: subprocess.Popen[bytes] | None = None
        self._process: psutil.Process | None = None
        self._log_start = 0
        self._started_at = 0.0
        self.log_file = spec.log_folder / f"{spec.name}.log"

    @property
    def name(self) -> str:
        """Short name from the specification."""
        return self._spec.name

    @property
    def pid(self) -> int | None:
        """Process id, or None when it does not run."""
        return self._process.pid if self._process is not None and self.is_running() else None

    def is_running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and is_alive(self._process)

    def is_ready(self) -> bool:
        """Whether the child lives and serves."""
        return self.is_running() and self._spec.ready()

    def start(self) -> None:
        """Start the child and wait until it is ready.

        Raises:
            ServiceError: It ended or was not ready in time; what was started is gone again.
        """
        if self.is_running():
            return
        spec = self._spec
        try:
            self.launch()
            settled = wait_until(
                lambda: not self.is_running() or spec.ready(), timeout_s=spec.ready_timeout_s
            )  # fmt: skip
            if settled and self.is_running():
                return
            what = f"was not ready within {spec.ready_timeout_s:g} s" if not settled else "ended at once"
            raise ServiceError(f"{self.name} {what}; {self.log_file} ends with: {self.log_tail()}")
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Start the child and do not wait.

        Raises:
            ServiceError: It cannot be started.
        """
        if self.is_running():
            return
        self.stop()
        if self._die_with_parent and threading.current_thread() is not threading.main_thread():
            # The kernel ties the child to the thread that starts it, not to the process.
            raise ServiceError(f"Start {self.name} from the main thread: it would end with this thread.")
        spec = self._spec
        death_signal = spec.stop_signal if self._die_with_parent else None
        if shutil.which(spec.argv[0]) is None:
            raise ServiceError(f"Cannot run {spec.argv[0]} for {self.name}: it is missing or not executable.")
        argv = [*launch_prefix(account=spec.account, death_signal=death_signal), *spec.argv]
        log = self._open_log()
        self._started_at = time.time()
        try:
            self._popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=spec.cwd, env=spec.env,
            )  # fmt: skip
        except OSError as error:
            raise ServiceError(f"Cannot run {argv[0]} for {self.name}: {error.strerror}.") from error
        finally:
            os.close(log)
        self._process = psutil.Process(self._popen.pid)

    def stop(self) -> None:
        """Ask the child to end, wait, then kill what is left of its process group."""
        if self._popen is None or self._process is None:
            return
        spec = self._spec
        # Until wait() collects the child its pid, which is the group's id, cannot be given to anybody else.
        end_process(self._process, stop_signal=spec.stop_signal, timeout_s=spec.stop_timeout_s)
        group = self._popen.pid
        if _group_lives(group):
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)
            if not wait_until(lambda: not _group_lives(group), timeout_s=2):
                os.killpg(group, signal.SIGKILL)
                wait_until(lambda: not _group_lives(group), timeout_s=5)
        self._popen.wait()
        self._popen = self._process = None

    def kill(self) -> None:
        """End the child's process group at once, as a crash would."""
        if self._popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
            self._popen = self._process = None

    def log_tail(self, lines: int = 5) -> str:
        """The last lines that were logged since the start, each cut where it is long, joined by ` | `."""
        text = ""
        with suppress(OSError), self.log_file.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 8192))
            text = log.read().decode(errors="replace")
        if self._spec.also_quote is not None and self._spec.also_quote.is_dir():
            newest = max(self._spec.also_quote.iterdir(), key=lambda path: path.stat().st_mtime, default=None)
            if newest is not None and newest.stat().st_mtime >= self._started_at:
                text += newest.read_text(errors="replace")[-8192:]
        last = text.strip().splitlines()[-lines:]
        return " | ".join(f"{line[:_LINE]}…" if len(line) > _LINE else line for line in last) or "(nothing)"

    def _open_log(self) -> int:
        self._spec.log_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if self.log_file.stat().st_size > LOG_LIMIT_BYTES:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self.log_file, flags, 0o600)
        self._log_start = os.fstat(descriptor).st_size
        return descriptor


def _group_lives(group: int) -> bool:
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == group and is_alive(process):
                return True
    return False
