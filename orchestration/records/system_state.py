"""What a running system reports about itself in its data folder, for every other process."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from ingestion.data_folder import system_is_running

STATE_FILE = "system.json"


@dataclass(frozen=True)
class ServiceRow:
    """One process of the running system."""

    name: str
    running: bool
    pid: int | None
    restarts: int
    error: str


@dataclass(frozen=True)
class SystemState:
    """What a running `millrace up` reports about itself in <data_dir>/system.json.

    Attributes:
        pid: The supervising process.
        mode: up or demo.
        ui_url: Address of the web UI; empty without one.
        started_at: ISO time, UTC.
        services: Its processes.
        page_url: Address of the live page; empty without one.
    """

    pid: int
    mode: str
    ui_url: str
    started_at: str
    services: tuple[ServiceRow, ...] = field(default=())
    page_url: str = ""


def streams_in_use(data_dir: Path) -> Path:
    """The copy of streams.yml that a running system has taken in."""
    return data_dir / "run" / "streams.yml"


def read_system_state(data_dir: Path) -> SystemState | None:
    """What the running system reports; None when none runs."""
    if not system_is_running(data_dir):
        return None
    try:
        content = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
        services = tuple(ServiceRow(**row) for row in content.pop("services"))
        content.pop("complaints", None)  # of an earlier release
        return SystemState(**content, services=services)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # it is just starting
