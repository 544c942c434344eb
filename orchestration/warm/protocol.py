"""How a client talks to the warm process: one JSON line each way over a private Unix socket.

Standard library only, because the web server and the daemon import it. The answers are made in keeper.py.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Message = dict[str, Any]

_SOCKET_NAME_BYTES = 107  # sockaddr_un.sun_path on Linux, without its final zero
_LARGEST_MESSAGE = 16 * 1024 * 1024


class WarmProcessAway(RuntimeError):
    """Nobody listens on the socket."""


class WarmProcessBusy(RuntimeError):
    """The warm process listens and did not answer in time."""


class WarmProcessRefused(RuntimeError):
    """The warm process answered that it cannot do what was asked; the message is its reason."""


def call(socket_path: Path, request: Mapping[str, object], *, timeout_s: float) -> Message:
    """Send one request and wait for its answer.

    Args:
        socket_path: the socket the warm process listens on; any length.
        request: a JSON object with the key ``op`` (see keeper.py).
        timeout_s: seconds allowed for each of connecting, sending and receiving.

    Returns:
        The answer, a JSON object.

    Raises:
        WarmProcessAway: nobody listens, or the connection broke.
        WarmProcessBusy: no answer within ``timeout_s``.
        WarmProcessRefused: the answer is an error.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with _short_name(socket_path) as name:
                connection.connect(name)
            send(connection, request)
            answer = receive(connection)
        except TimeoutError as error:
            raise WarmProcessBusy(
                f"The warm process at {socket_path} gave no answer within {timeout_s:g} s: look into its "
                "log, and restart it with `millrace up` if it hangs."
            ) from error
        except OSError as error:
            raise WarmProcessAway(_away(socket_path, error.strerror or str(error))) from error
    if answer is None:
        raise WarmProcessAway(_away(socket_path, "it closed the connection without an answer"))
    if "error" in answer:
        raise WarmProcessRefused(str(answer["error"]))
    return answer


def _away(socket_path: Path, why: str) -> str:
    return f"The warm process does not answer on {socket_path} ({why}): start it with `millrace up`."


def listen(socket_path: Path) -> socket.socket:
    """Bind and listen on a socket only this user can reach; a left-over socket file is replaced.

    The caller ensures that it is the only one (keeper.py holds a lock).
    """
    socket_path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        with _short_name(socket_path) as name:
            server.bind(name)
    finally:
        os.umask(old_mask)
    server.listen(64)
    return server


def send(connection: socket.socket, message: Mapping[str, object]) -> None:
    """Write one message as a line of JSON."""
    connection.sendall(json.dumps(message).encode() + b"\n")


def receive(connection: socket.socket) -> Message | None:
    """Read one message; None when the other side closed without sending a whole one."""
    parts: list[bytes] = []
    size = 0
    while size <= _LARGEST_MESSAGE:
        part = connection.recv(65536)
        if not part:
            return None
        parts.append(part)
        size += len(part)
        if part.endswith(b"\n"):
            decoded = json.loads(b"".join(parts))
            return decoded if isinstance(decoded, dict) else None
    raise OSError(f"a message of more than {_LARGEST_MESSAGE} bytes was refused")


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
