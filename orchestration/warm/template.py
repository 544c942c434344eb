"""The template: a fork of the keeper that loads the project's code and is forked once per run.

Replaced, not reloaded, when the code changes, so that a worker never mixes old and new modules. The keeper
starts it, talks to it over a socket pair and ends it by closing that pair (template_process.py).
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dagster import Definitions
from dagster._core.definitions.reconstruct import ReconstructableRepository

from orchestration.garbage import uncollected
from orchestration.warm import forking, protocol, waiting, worker
from orchestration.warm.preload import end_library_threads


@dataclass(frozen=True)
class Location:
    """Where the definitions are: a module and the folder it is imported from (as in workspace.yaml)."""

    module: str
    working_directory: str


def serve(location: Location, *, channel: socket.socket, keeper_pid: int) -> int:
    """Load the project, report it on the channel, then fork one worker per message until the channel closes.

    Returns:
        An exit code: 0 after the channel closed, 1 when the project could not be loaded.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches the whole group: only the keeper acts
        signal.signal(number, signal.SIG_IGN)
    started = time.perf_counter()
    try:
        with uncollected():
            load(location)
    except Exception as error:
        protocol.send(channel, {"error": _load_error(location, error)})
        return 1
    end_library_threads()
    # What is loaded is frozen now: the collector would walk, and so copy, its shared pages in every worker.
    make_ready = getattr(sys.modules[location.module], "make_ready", None)
    protocol.send(
        channel,
        {"ready_seconds": round(time.perf_counter() - started, 3), "may_wait": make_ready is not None},
    )
    while (message := protocol.receive(channel)) is not None:
        protocol.send(
            channel, _fork_worker(message, make_ready=make_ready, channel=channel, keeper_pid=keeper_pid)
        )
    return 0


def load(location: Location) -> None:
    """Import the definitions module and resolve every job in it, as a run of any of them would.

    If the module has a function `warm_up`, it is called afterwards; what it loads, no run has to load.
    A function `make_ready` is for workers that wait for a run: it may open connections, which a process that
    forks must not have.
    """
    if location.working_directory not in sys.path:
        sys.path.insert(0, location.working_directory)
    module = __import__(location.module, fromlist=["*"])
    names = [name for name, value in vars(module).items() if isinstance(value, Definitions)]
    for name in names:
        repository = ReconstructableRepository.for_module(location.module, name, location.working_directory)
        repository.get_definition().load_all_definitions()
    getattr(module, "warm_up", lambda: None)()


def _fork_worker(
    message: protocol.Message,
    *,
    make_ready: Callable[[], None] | None,
    channel: socket.socket,
    keeper_pid: int,
) -> dict[str, object]:
    threads = forking.other_threads()
    if threads:
        return {
            "error": f"The project's code started threads while it was loaded ({', '.join(threads)}), and a "
            "process with threads cannot be forked safely: start them inside an asset or resource instead."
        }

    def run() -> int:
        channel.close()
        if make_ready is not None and "wait_at" in message:
            return waiting.wait_for_run(make_ready, Path(message["wait_at"]), worker.execute)
        return worker.execute(message["run_args"])

    try:
        return {"pid": forking.spawn_for(keeper_pid, run, log_path=Path(message["log_path"]))}
    except OSError as error:
        return {"error": f"No process could be forked for a run: {error}."}


def _load_error(location: Location, error: Exception) -> str:
    where = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(location.working_directory):
            where = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    what = f"{type(error).__name__}: {error}{where}"
    return f"{location.module} cannot be loaded: {what}; correct the code and launch again."
