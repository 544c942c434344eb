"""The drill's steps: what is broken, and how. What is counted after each is in drill.py."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ingestion.connectors.http.connector import HTTP
from orchestration.demo.drill_alert import KIND, Sight, Surfaces, follow_alert
from orchestration.demo.drill_sender import DrillSender
from orchestration.services.process import wait_until

_MANY = 40
_FROZEN_SECONDS = 5.0
_RUN_SECONDS = 60.0
_ALERT_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """What a step may break.

    Attributes:
        folder: The system's data folder.
        sender: The drill's plant.
        surfaces: Where people and machines see alerts.
        pids: Supervises the system, and returns service → its process id now, None when it is down.
    """

    folder: Path
    sender: DrillSender
    surfaces: Surfaces
    pids: Callable[[], Mapping[str, int | None]]

    def wait(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Supervise until the condition holds, at most for so many seconds."""

        def look() -> bool:
            self.pids()
            return condition()

        return wait_until(look, timeout_s=seconds, interval_s=0.2)

    def kill(self, service: str) -> str:
        """End a service's process as a crash would."""
        pid = self.pids()[service]
        if pid is None:
            return f"{service} was down already"
        os.kill(pid, signal.SIGKILL)
        return f"kill -9 of pid {pid}"


@dataclass(frozen=True)
class Step:
    """One thing that goes wrong.

    Attributes:
        title: In the drill's table.
        inflict: Does it, and returns what it did, in words.
        alert: Follows an alert to its end; None where there is to be none.
    """

    title: str
    inflict: Callable[[Stage], str]
    alert: Callable[[Stage], tuple[Sight, ...]] | None = None


def _nothing(_: Stage) -> str:
    return "the system at work"


def _malformed(stage: Stage) -> str:
    stage.sender.spoil(_MANY)
    return f"{_MANY} messages that are not JSON, over each of MQTT, Kafka and HTTP"


def _again(stage: Stage) -> str:
    stage.sender.repeat(_MANY)
    return f"up to {_MANY} events delivered a second time, over each of MQTT, Kafka and HTTP"


def _machine(stage: Stage) -> str:
    return f"a {KIND} reports a fault until its alert was seen, and is repaired"


def _break_machine(stage: Stage) -> tuple[Sight, ...]:
    """Let a machine of the plant break down, and follow its alert."""
    broken = stage.sender.break_machine(KIND)
    with stage.surfaces.followed() as surfaces:
        return follow_alert(
            surfaces, broken, wait=lambda condition: stage.wait(condition, seconds=_ALERT_SECONDS)
        )


def _kill_run(stage: Stage) -> str:
    """Kill the process of a run that is under way."""
    found: list[int] = []

    def look() -> bool:
        found.extend(_run_pids(stage))
        return bool(found)

    if not stage.wait(look, seconds=_RUN_SECONDS):
        return "no run began within a minute"
    os.kill(found[0], signal.SIGKILL)
    return f"kill -9 of pid {found[0]}, in the middle of a batch"


def _run_pids(stage: Stage) -> list[int]:
    """Processes whose output goes to the log of a run."""
    warm, logs = stage.pids()["warm"], str(stage.folder / "logs" / "runs")
    pids = []
    with suppress(psutil.Error):
        for process in psutil.Process(warm).children(recursive=True) if warm else ():
            with suppress(OSError):
                if os.readlink(f"/proc/{process.pid}/fd/1").startswith(logs):
                    pids.append(process.pid)
    return pids


def _freeze_kafka(stage: Stage) -> str:
    """Stop the broker's process for a while: its memory, and with it the demo's topic, survives."""
    pid = stage.pids()["kafka"]
    if pid is None:
        return "kafka was down already"
    os.kill(pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + _FROZEN_SECONDS
        stage.wait(lambda: time.monotonic() >= end, seconds=_FROZEN_SECONDS + 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    return f"pid {pid} stopped for {_FROZEN_SECONDS:g} s, then continued"


STEPS = (
    Step("nothing yet", _nothing),
    Step("malformed events", _malformed),
    Step("duplicate delivery", _again),
    Step("a machine breaks", _machine, _break_machine),
    Step("a run dies", _kill_run),
    Step("the collector dies", lambda stage: stage.kill("collector")),
    Step("the HTTP server dies", lambda stage: stage.kill(HTTP.collector)),
    Step("PostgreSQL dies", lambda stage: stage.kill("postgres")),
    Step("Dagster's daemon dies", lambda stage: stage.kill("daemon")),
    Step("Kafka hangs", _freeze_kafka),
)
