"""The keeper: owns the socket and the table of runs, starts the template, reaps workers and records their ends.

One thread, no code of the project, so it survives whatever a run or an edit does. Requests are {"op": "ping" | "launch" |
"terminate" | "health", …}; protocol.py carries them, launcher.py asks.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestration.warm import forking, protocol
from orchestration.warm.fingerprint import fingerprint
from orchestration.warm.runs import RunTable

_REQUEST_SECONDS = 2.0
_LOAD_SECONDS = 60.0
_LOOK_SECONDS = 2.0


class AlreadyRunning(RuntimeError):
    """Another keeper holds this socket."""


@dataclass(frozen=True)
class KeeperOptions:
    """What a keeper is started with.

    Attributes:
        socket_path: where it listens; the folder must not be writable for others.
        log_dir: folder for one output file per run.
        module: the module with the Dagster definitions.
        working_directory: the folder the module is imported from.
        watched: files and folders whose change replaces the template.
        grace_seconds: seconds between SIGTERM and SIGKILL of a run.
    """

    socket_path: Path
    log_dir: Path
    module: str
    working_directory: Path
    watched: tuple[Path, ...]
    grace_seconds: float


@dataclass(frozen=True)
class _Template:
    pid: int
    channel: socket.socket
    code: str  # fingerprint it was loaded from


class Keeper:
    """Serve requests until SIGTERM or SIGINT; see the module for its place."""

    def __init__(self, options: KeeperOptions) -> None:
        self._options = options
        self._runs = RunTable(options.log_dir, grace_seconds=options.grace_seconds)
        self._template: _Template | None = None
        self._ready = False
        self._last_code = ""
        self._stopping = False
        self._server: socket.socket | None = None

    def serve(self) -> None:
        """Listen, import, then answer until told to stop; runs that are alive then are ended first.

        Raises:
            AlreadyRunning: another keeper listens on the same socket.
            PermissionError: the socket's folder is writable for others.
        """
        options = self._options
        _private_folder(options.socket_path.parent)
        _private_folder(options.log_dir)
        with _only_one(options.socket_path):
            forking.adopt_orphans()
            self._server = protocol.listen(options.socket_path)
            wake, waker = socket.socketpair()
            wake.setblocking(False)
            waker.setblocking(False)
            signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
            signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
            # Imported here, so that the socket answers to a connect from the first moment.
            from orchestration.warm.preload import preload

            for complaint in preload():
                _say(complaint)
            self._start_template()
            self._loop(wake)
            self._shut_down()
            options.socket_path.unlink(missing_ok=True)

    def _loop(self, wake: socket.socket) -> None:
        assert self._server is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while not self._stopping:
                for key, _events in selector.select(timeout=self._runs.next_wait(_LOOK_SECONDS)):
                    if key.fileobj is wake:
                        _drain(wake)
                    elif not self._stopping:
                        self._answer_one(self._server)
                self._reap()
                self._runs.kill_overdue()
                self._look_for_new_code()

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _shut_down(self) -> None:
        assert self._server is not None
        self._server.close()
        for run_id in self._runs.alive():
            self._runs.terminate(run_id)
        while self._runs.alive() or self._runs.recording():
            self._reap()
            self._runs.kill_overdue()
            time.sleep(0.02)
        self._end_template()

    def _answer_one(self, server: socket.socket) -> None:
        connection, _address = server.accept()
        with connection:
            connection.settimeout(_REQUEST_SECONDS)
            try:
                request = protocol.receive(connection)
                if request is not None:
                    protocol.send(connection, self._answer(request))
            except (OSError, ValueError) as error:  # the client went away or sent no JSON
                _say(f"A request was dropped: {error}.")

    def _answer(self, request: protocol.Message) -> dict[str, object]:
        answers: dict[object, Callable[[], dict[str, object]]] = {
            "ping": self._ping,
            "launch": lambda: self._launch(str(request["run_id"]), run_args=str(request["run_args"])),
            "terminate": lambda: {"alive": self._runs.terminate(str(request["run_id"]))},
            "health": lambda: self._runs.health(str(request["run_id"])),
        }
        answer = answers.get(request.get("op"))
        if answer is None:
            return {
                "error": f"The warm process knows no request {request.get('op')!r}: it asks for one of {list(answers)}."
            }
        try:
            self._reap()
            return answer()
        except KeyError as error:
            return {"error": f"The request {request['op']!r} lacks {error}."}

    def _ping(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "module": self._options.module,
            "code": self._template.code if self._template else None,
            "ready": self._ready,
            "runs": self._runs.alive(),
        }

    def _launch(self, run_id: str, *, run_args: str) -> dict[str, object]:
        if run_id in self._runs.alive():
            return {"error": f"Run {run_id} already has a process."}
        code = fingerprint(self._options.watched)
        if self._template is None or self._template.code != code:
            self._start_template()
        refusal = self._wait_for_template()
        if refusal is not None:
            return {"error": refusal}
        assert self._template is not None
        log_path = self._runs.log_path(run_id)
        answer = self._ask_template({"run_id": run_id, "run_args": run_args, "log_path": str(log_path)})
        if "pid" in answer:
            self._runs.add(run_id, pid=int(answer["pid"]), run_args=run_args)
        return answer

    def _look_for_new_code(self) -> None:
        """Replace the template between runs, once the files have held still from one look to the next."""
        code = fingerprint(self._options.watched)
        settled = code == self._last_code
        self._last_code = code
        if settled and self._template is not None and self._template.code != code:
            self._start_template()

    def _start_template(self) -> None:
        self._end_template()
        # Imported here for the same reason as preload; the template is forked with it.
        from orchestration.warm import template

        keeper_pid = os.getpid()
        code = fingerprint(self._options.watched)
        ours, theirs = socket.socketpair()
        location = template.Location(self._options.module, str(self._options.working_directory))

        def body() -> int:
            ours.close()
            if self._server is not None:
                self._server.close()
            return template.serve(location, channel=theirs, keeper_pid=keeper_pid)

        pid = forking.spawn(body, log_path=None)
        theirs.close()
        ours.settimeout(_LOAD_SECONDS)
        self._template = _Template(pid, ours, code)
        self._ready = False

    def _wait_for_template(self) -> str | None:
        """Wait until the project is loaded; the reason as a sentence if it cannot be."""
        assert self._template is not None
        if self._ready:
            return None
        answer = self._receive()
        if "error" in answer:
            self._end_template()
            return str(answer["error"])
        self._ready = True
        _say(f"The project was loaded in {answer.get('ready_seconds')} s.")
        return None

    def _ask_template(self, message: dict[str, object]) -> protocol.Message:
        assert self._template is not None
        try:
            protocol.send(self._template.channel, message)
        except OSError:
            self._end_template()
            return {
                "error": "The template process ended by itself: launch again, and see the log of the warm process."
            }
        answer = self._receive()
        if "error" in answer:
            _say(str(answer["error"]))
        return answer

    def _receive(self) -> protocol.Message:
        assert self._template is not None
        try:
            answer = protocol.receive(self._template.channel)
        except OSError as error:
            self._end_template()
            return {
                "error": f"{self._options.module} was not loaded within {_LOAD_SECONDS:g} s ({error}): "
                "look for slow work at import."
            }
        if answer is None:
            self._end_template()
            return {
                "error": f"Loading {self._options.module} ended its process: see the log of the warm process."
            }
        return answer

    def _end_template(self) -> None:
        if self._template is not None:
            self._template.channel.close()
            if not self._ready:  # it may still be importing, and would not notice the closed channel
                _kill(self._template.pid)
        self._template = None
        self._ready = False

    def _reap(self) -> None:
        for pid, status in _ended_children():
            if self._template is not None and pid == self._template.pid and self._ready:
                _say("The template process ended by itself; the next run starts a new one.")
                self._end_template()
            self._runs.ended(pid, wait_status=status)


def _ended_children() -> Iterator[tuple[int, int]]:
    """Children that have ended; each is reaped only after the caller has seen it."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None:
            return
        killed = found.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        yield found.si_pid, found.si_status if killed else found.si_status << 8
        os.waitpid(found.si_pid, 0)


@contextmanager
def _only_one(socket_path: Path) -> Iterator[None]:
    """Hold a lock beside the socket. A POSIX record lock: forks do not inherit it, so no worker keeps it alive."""
    with open(socket_path.with_name(socket_path.name + ".lock"), "a") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(
                f"Another warm process serves {socket_path}: stop it with `millrace down` first."
            ) from error
        yield


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = path.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(
            f"Others can write to {path}, where the warm process takes orders: run `chmod go-w {path}` as its owner."
        )


def _drain(wake: socket.socket) -> None:
    with suppress(BlockingIOError):
        while wake.recv(4096):
            pass


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
