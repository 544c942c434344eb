"""What a data folder says about itself: whether a system runs on it, and whether it is a demo's.

Where a project's data folder is, the settings say; making it usable is orchestration/system's.
"""

import fcntl
import os
from pathlib import Path

from ingestion.project import is_project

SYSTEM_LOCK = "system.lock"
DEMO_MARKER = "demo"
DEMO_PROJECT = "project"

_DEMO_SUFFIX = "-demo"


def system_is_running(data_dir: Path) -> bool:
    """Whether a `millrace up` or `demo` lives on this folder: it holds the lock, which dies with it."""
    try:
        descriptor = os.open(data_dir / SYSTEM_LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_demo(data_dir: Path) -> bool:
    """Whether the folder belongs to a demo, which runs or has ended."""
    return (data_dir / DEMO_MARKER).is_file()


def demo_has_ended(data_dir: Path) -> bool:
    """Whether the folder is what a demo has left; its brokers and its PostgreSQL are gone."""
    return is_demo(data_dir) and not system_is_running(data_dir)


def demo_project(data_dir: Path) -> Path | None:
    """The project that a demo has made in its data folder, for a place without the plant's."""
    folder = data_dir / DEMO_PROJECT
    return folder if is_demo(data_dir) and is_project(folder) else None


def demo_folder(data_dir: Path) -> Path:
    """Where a demo runs unless it is given a folder: beside a project's data folder, never in it."""
    if data_dir.name.endswith(_DEMO_SUFFIX):
        return data_dir
    return data_dir.with_name(f"{data_dir.name}{_DEMO_SUFFIX}")


def demo_hint(data_dir: Path) -> str:
    """For a sentence that nothing runs here: how to reach the demo that runs beside; empty without one."""
    beside = demo_folder(data_dir)
    if beside == data_dir or not system_is_running(beside):
        return ""
    return f"; a demo runs beside it: put '--data-dir {shown(beside)}' before the command"


def shown(folder: Path) -> str:
    """A folder as one would type it here: relative to the current folder when it is below."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
