"""Asks the processes that serve others a question, because one that lives may answer nobody.

What a question costs is next to nothing, so an answer shows that the process works. A busy one answers late:
only one that has left every question open for a while is stuck.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc  # type: ignore[import-untyped]

from orchestration.conditions.condition import Finding
from orchestration.records.system_state import ServiceRow

ANSWER_SECONDS = 5.0
"""How long a question waits for its answer."""
_SOCKET_NAME_BYTES = 107  # sockaddr_un.sun_path on Linux, without its final zero
_RESTART = "It is ended and started again by itself; its log may say why."


@dataclass(frozen=True)
class Question:
    """How a process is asked.

    Attributes:
        ask: Whether it answered; bounded in time.
        patience_s: How long it may leave every question open, in seconds.
    """

    ask: Callable[[], bool]
    patience_s: float


class Probes:
    """Remembers when each process answered last.

    Args:
        questions: Service → how it is asked.
    """

    def __init__(self, questions: Mapping[str, Question]) -> None:
        self._questions = questions
        self._answered_at: dict[tuple[str, int], float] = {}

    def look(self, services: Sequence[ServiceRow]) -> Iterator[Finding]:
        """Ask them all once; those that have been silent for too long are findings."""
        rows = [(row, row.pid) for row in services if row.name in self._questions]
        living = {(row.name, pid) for row, pid in rows if pid is not None}
        # A new process gets as much time to begin.
        self._answered_at = {each: self._answered_at.get(each, time.monotonic()) for each in living}
        for name, pid in living:
            question = self._questions[name]
            if question.ask():
                self._answered_at[name, pid] = time.monotonic()
            silent = time.monotonic() - self._answered_at[name, pid]
            if silent > question.patience_s:
                yield Finding(
                    "service_stuck", name,
                    f"{name} (pid {pid}) has answered nobody for more than {question.patience_s:.0f} s",
                    _RESTART,
                )  # fmt: skip


def answers_grpc(path: Path) -> bool:
    """Whether Dagster's code server on a Unix socket answers its ping.

    Args:
        path: The socket; a symbolic link to it is followed.
    """
    with suppress(grpc.RpcError, OSError), grpc.insecure_channel(f"unix:{path.resolve()}") as channel:
        ping = channel.unary_unary("/api.DagsterApi/Ping")
        ping(b"", timeout=ANSWER_SECONDS)
        return True
    return False


def answers_line(path: Path, line: bytes) -> bool:
    """Whether somebody on a Unix socket answers a line.

    Args:
        path: The socket, of any length.
        line: What to send.
    """
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        _short_name(path) as name,
    ):
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(name)
        connection.sendall(line + b"\n")
        return bool(connection.recv(1))
    return False


@contextmanager
def _short_name(path: Path) -> Iterator[str]:
    """Name a socket whose path is too long for its address through an open descriptor of its folder."""
    if len(os.fsencode(path)) <= _SOCKET_NAME_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
