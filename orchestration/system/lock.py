"""One running system per data folder: a lock that dies with its holder, and what the holder publishes.

Readers ask orchestration.records.overview.read_system_state; settings.system_is_running tests the lock.
"""

import dataclasses
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from ingestion.data_folder import SYSTEM_LOCK, system_is_running
from ingestion.errors import MillraceError
from ingestion.json_file import write_json
from ingestion.settings import RUNTIME_FILE
from orchestration.records.system_state import STATE_FILE, SystemState

_PATIENCE_SECONDS = 1.0  # a process that only tests the lock holds it for a moment
STOP_SECONDS = 120.0
"""How long a system may take to stop. Whoever ends it by force after that loses nothing but time."""


class AlreadyRunning(MillraceError):
    """Another process runs the system of this folder."""


@contextmanager
def only_system(data_dir: Path) -> Iterator[None]:
    """Hold the folder's lock while the block runs; left-overs of a killed system are removed first.

    Raises:
        AlreadyRunning: Says who holds it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(data_dir / SYSTEM_LOCK, flags, 0o600)
    try:
        _acquire(descriptor, data_dir)
        forget(data_dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        try:
            yield
        finally:
            forget(data_dir)
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, data_dir: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            holder = holder_pid(data_dir)
            who = f"pid {holder}" if holder else "another process"
            raise AlreadyRunning(
                f"Millrace already runs on {data_dir} ({who}): 'millrace status' shows it, "
                "'millrace down' stops it"
            ) from None


def holder_pid(data_dir: Path) -> int | None:
    """The process that runs the system of this folder, or None."""
    if not system_is_running(data_dir):
        return None
    with suppress(OSError, ValueError):
        return int((data_dir / SYSTEM_LOCK).read_text().strip())
    return None


def publish(data_dir: Path, state: SystemState) -> None:
    """Replace system.json at once, for readers in other processes."""
    write_json(data_dir / STATE_FILE, dataclasses.asdict(state))


def forget(data_dir: Path) -> None:
    """Remove what a system that has ended had published."""
    for name in (STATE_FILE, RUNTIME_FILE):
        (data_dir / name).unlink(missing_ok=True)


def stop_running(data_dir: Path) -> int | None:
    """Ask the running system to stop and wait until it has.

    Returns:
        Its process id, or None when none ran.

    Raises:
        MillraceError: It did not stop in time.
    """
    pid = holder_pid(data_dir)
    if pid is None:
        return None
    try:
        psutil.Process(pid).send_signal(signal.SIGTERM)
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        raise MillraceError(
            f"Millrace on {data_dir} (pid {pid}) belongs to another user: stop it as that user"
        ) from None
    deadline = time.monotonic() + STOP_SECONDS
    while system_is_running(data_dir):
        if time.monotonic() >= deadline:
            raise MillraceError(
                f"Millrace on {data_dir} (pid {pid}) did not stop within {STOP_SECONDS:.0f} s: look into "
                f"{data_dir / 'logs'}; 'kill -9 {pid}' ends it, and no acknowledged event is lost"
            )
        time.sleep(0.1)
    return pid
