"""One keeper per socket, in a folder where nobody else can put a socket of theirs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyServed(RuntimeError):
    """Another process holds the socket."""


@contextmanager
def only_one(socket_path: Path) -> Iterator[None]:
    """Hold the lock beside the socket while the block runs.

    Raises:
        AlreadyServed: another process holds it.
    """
    # A POSIX record lock: forks do not inherit it, so no left-over worker can keep it.
    with open(socket_path.with_name(socket_path.name + ".lock"), "a") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyServed(
                f"Another warm process serves {socket_path}: stop it with `millrace down` first."
            ) from error
        yield


def private_folder(path: Path) -> None:
    """Make the folder if it is missing, and make sure that only its owner can write to it.

    Raises:
        PermissionError: others can write to it, or it belongs to somebody else.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = path.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(
            f"Others can write to {path}, where the warm process takes orders: run `chmod go-w {path}` as "
            "its owner, who must also be the user that runs Millrace."
        )
