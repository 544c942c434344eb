"""One keeper per socket, in a folder where no other user can put a socket."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class AlreadyServed(RuntimeError):
    """Another process holds the socket."""


@contextmanager
def only_one(socket_path: Path, *, patience_seconds: float) -> Iterator[None]:
    """Hold the lock beside the socket while the block runs.

    Args:
        socket_path: the socket.
        patience_seconds: time that another holder has to end; one of a killed system ends its runs first.

    Raises:
        AlreadyServed: another process holds it.
    """
    # A POSIX record lock: forks do not inherit it, so no left-over worker can keep it.
    with open(socket_path.with_name(socket_path.name + ".lock"), "a") as lock:
        deadline = time.monotonic() + patience_seconds
        while not _locked(lock):
            if time.monotonic() >= deadline:
                raise AlreadyServed(
                    f"Another warm process serves {socket_path}: stop it with `millrace down` first."
                )
            time.sleep(0.05)
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def private_folder(path: Path) -> None:
    """Create the folder if it is missing, and require that only its owner can write to it.

    Raises:
        PermissionError: others can write to it, or it belongs to another user.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = path.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(
            f"Others can write to {path}, where the warm process takes orders: run `chmod go-w {path}` as "
            "its owner, who must also be the user that runs Millrace."
        )
