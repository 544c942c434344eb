"""The keeper: owns the socket and the table of runs, keeps a template ready, reaps what it forked.

One thread and no code of the project, so no run and no edit can end it. Requests are ping,
launch, terminate and health: protocol.py carries them, orchestration/warm/launcher.py asks.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestration.fingerprint import fingerprint
from orchestration.warm import forking, protocol
from orchestration.warm.exclusive import only_one, private_folder
from orchestration.warm.runs import RunTable
from orchestration.warm.template_process import TemplateFailed, TemplateProcess
from orchestration.warm.templates import Templates
from orchestration.warm.waiting import WaitingWorker

_REQUEST_SECONDS = 2.0
_LOOK_SECONDS = 2.0


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
        patience_seconds: how long it waits for another keeper on the socket to end.
        clients: modules of brokers' clients to import once.
        stall_seconds: how long a run may not get on before it is ended; 0: for ever.
    """

    socket_path: Path
    log_dir: Path
    module: str
    working_directory: Path
    watched: tuple[Path, ...]
    grace_seconds: float
    patience_seconds: float
    clients: tuple[str, ...] = ()
    stall_seconds: float = 0.0


class Keeper:
    """Serve requests until SIGTERM or SIGINT.

    Args:
        options: what it is started with.
    """

    def __init__(self, options: KeeperOptions) -> None:
        self._options = options
        self._runs = RunTable(
            options.log_dir, grace_seconds=options.grace_seconds, stall_seconds=options.stall_seconds
        )
        self._waiting = WaitingWorker(options.socket_path.with_suffix(".next"))
        self._templates = Templates(self._start_template, replaced=self._waiting.drop, say=_say)
        self._server: socket.socket | None = None
        self._last_look = ""
        self._stopping = False

    def serve(self) -> None:
        """Listen, import, then answer until SIGTERM or SIGINT; the runs that are alive then are ended first.

        Raises:
            AlreadyServed: another keeper listens on the same socket.
            PermissionError: the socket's folder is writable for others.
        """
        options = self._options
        private_folder(options.socket_path.parent)
        private_folder(options.log_dir)
        alone = only_one(options.socket_path, patience_seconds=options.patience_seconds)
        with alone, protocol.listen(options.socket_path) as server:
            self._server = server
            self._runs.prune_logs()
            forking.adopt_orphans()
            wake = self._listen_to_signals()
            # Imported here, so that clients can connect, and wait, from the first moment.
            from orchestration.warm.preload import preload

            for complaint in preload(self._options.clients):
                _say(complaint)
            self._templates.prepare(fingerprint(options.watched))
            self._loop(server, wake=wake)
            options.socket_path.unlink(missing_ok=True)
            server.close()
            self._end_everything()

    def _listen_to_signals(self) -> socket.socket:
        wake, waker = socket.socketpair()
        wake.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.detach(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return wake

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _loop(self, server: socket.socket, *, wake: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while not self._stopping:
                for key, _events in selector.select(timeout=self._runs.next_wait(_LOOK_SECONDS)):
                    if key.fileobj is wake:
                        _drain(wake)
                    else:
                        self._answer_one(server)
                self._reap()
                self._runs.kill_overdue()
                self._runs.kill_stalled()
                self._look_for_new_code()
                self._keep_one_waiting()

    def _end_everything(self) -> None:
        for run_id in self._runs.alive():
            self._runs.terminate(run_id)
        while self._runs.alive() or self._runs.recording():
            self._reap()
            self._runs.kill_overdue()
            time.sleep(0.02)
        self._templates.drop()

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
        answers: dict[str, Callable[[], dict[str, object]]] = {
            "ping": self._ping,
            "launch": lambda: self._launch(str(request["run_id"]), run_args=str(request["run_args"])),
            "terminate": lambda: {"alive": self._runs.terminate(str(request["run_id"]))},
            "health": lambda: self._runs.health(str(request["run_id"])),
        }
        answer = answers.get(str(request.get("op")))
        if answer is None:
            return {
                "error": f"The warm process does not know the request {request.get('op')!r}: "
                f"ask for one of {list(answers)}."
            }
        self._reap()
        try:
            return answer()
        except KeyError as error:
            return {"error": f"The request {request['op']!r} lacks {error}."}
        except TemplateFailed as error:
            self._templates.drop()
            _say(str(error))
            return {"error": str(error)}

    def _ping(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "module": self._options.module,
            "code": self._templates.in_use.code if self._templates.in_use else None,
            "runs": self._runs.alive(),
            "waiting": self._waiting.ready_pid,
        }

    def _launch(self, run_id: str, *, run_args: str) -> dict[str, object]:
        if run_id in self._runs.alive():
            return {"error": f"Run {run_id} already has a process."}
        template = self._templates.newest(fingerprint(self._options.watched))
        log_path = self._runs.log_path(run_id)
        pid = self._waiting.take(run_args=run_args, log_path=log_path)
        if pid is None:
            pid = template.fork_worker(run_args=run_args, log_path=log_path)
        self._runs.add(run_id, pid=pid, run_args=run_args)
        return {"pid": pid}

    def _keep_one_waiting(self) -> None:
        """Between runs, have a worker ready for the next one."""
        template = self._templates.in_use
        if template is None or self._runs.alive() or not self._waiting.is_wanted():
            return
        if template.is_ready() and template.may_wait:
            with suppress(TemplateFailed):  # the launch of the next run reports it
                log_path = self._options.log_dir / "waiting.log"
                log_path.unlink(missing_ok=True)
                pid = template.fork_waiting(self._waiting.socket_path, log_path=log_path)
                self._waiting.note_started(pid)

    def _look_for_new_code(self) -> None:
        """Replace the template between runs, once the files have not changed from one look to the next."""
        code = fingerprint(self._options.watched)
        settled, self._last_look = code == self._last_look, code
        if settled:
            self._templates.prepare(code)

    def _start_template(self, code: str) -> TemplateProcess:
        options = self._options
        return TemplateProcess(options.module, options.working_directory, code=code, server=self._server)

    def _reap(self) -> None:
        for pid, status in _ended_children():
            self._runs.ended(pid, wait_status=status)
            self._waiting.ended(pid)
            in_use = self._templates.in_use
            if in_use is not None and pid == in_use.pid and in_use.ready:
                _say(
                    "The process that holds the project's code ended by itself; the next run starts it again."
                )
                self._templates.drop()


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


def _drain(wake: socket.socket) -> None:
    with suppress(BlockingIOError):
        while wake.recv(4096):
            pass


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
