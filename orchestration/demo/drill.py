"""The drill: what is broken, how, and the count of what held.

Sending is drill_sender.py's, showing cli/drill.py's.
Counts compare the sender's own record of acknowledged events with what readers of the lake see.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from orchestration.demo.drill_sender import ORDERS, TELEMETRY, DrillSender, Sent
from orchestration.demo.summary import IN_MARTS
from orchestration.services.process import wait_until

_IDS = {TELEMETRY: "reading_id", ORDERS: "order_event_id"}
_MANY = 40
_FROZEN_SECONDS = 5.0
_RUN_SECONDS = 60.0


@dataclass(frozen=True)
class Count:
    """One stream: what its broker acknowledged, and what readers of the lake see.

    Attributes:
        stream: Its name.
        sent: Distinct events that the broker acknowledged.
        landed: Distinct events in staging.
        again: Further deliveries of an event, kept in raw and left out of staging.
        rejected: Rows of raw.rejects.
        lost: Acknowledged events that are not in staging.
        twice: Events that staging or the marts hold twice, and positions that raw holds twice.
        strange: Events in staging that were never sent.
        in_marts: Events that the marts count.
        malformed: Messages sent that hold no event.
        defects: What the ledger's proof finds.
    """

    stream: str
    sent: int
    landed: int
    again: int
    rejected: int
    lost: int
    twice: int
    strange: int
    in_marts: int
    malformed: int
    defects: int

    @property
    def holds(self) -> bool:
        """Whether nothing is lost, doubled, invented or unaccounted for."""
        wrong = self.lost + self.twice + self.strange + self.defects
        return not wrong and self.in_marts == self.landed and self.rejected == self.malformed


def count(lake: Lake, sent: Mapping[str, Sent]) -> tuple[Count, ...]:
    """Compare; the sender pauses meanwhile."""
    return tuple(_count(lake, stream, record) for stream, record in sent.items())


def _count(lake: Lake, stream: str, sent: Sent) -> Count:
    ids = [row[0] for row in lake.query(f"select {_IDS[stream]} from staging.stg_{stream}")]
    found = set(ids) - {None}  # a tombstone has no id
    events = [each for each in ids if each is not None]
    rows, doubled = lake.query(
        f"select coalesce(sum(n), 0), coalesce(sum(n - 1), 0) from (select count(*) as n from raw.{stream} "
        "where payload is not null group by source_partition, position)"
    )[0]
    rejected = lake.query("select count(*) from raw.rejects where stream = ?", [stream])[0][0]
    in_marts = int(lake.query(IN_MARTS[stream])[0][0])
    return Count(
        stream=stream,
        sent=len(sent.acknowledged),
        landed=len(found),
        again=int(rows) - len(found),
        rejected=int(rejected),
        lost=len(sent.acknowledged - found),
        twice=len(events) - len(found) + int(doubled) + max(0, in_marts - len(found)),
        strange=len(found - sent.offered),
        in_marts=in_marts,
        malformed=sent.spoiled,
        defects=len(prove(lake, stream).defects),
    )


@dataclass(frozen=True)
class Stage:
    """What a step may break.

    Attributes:
        folder: The system's data folder.
        sender: The drill's plant.
        pids: Supervises the system, and returns service → its process id now, None when it is down.
    """

    folder: Path
    sender: DrillSender
    pids: Callable[[], Mapping[str, int | None]]

    def wait(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Supervise until the condition holds, for so many seconds at most."""

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
    """One thing that goes wrong: a title, and what does it and says what it did."""

    title: str
    inflict: Callable[[Stage], str]


def _nothing(_: Stage) -> str:
    return "the system at work"


def _malformed(stage: Stage) -> str:
    stage.sender.spoil(_MANY)
    return f"{_MANY} messages that are no JSON, to each broker"


def _again(stage: Stage) -> str:
    stage.sender.repeat(_MANY)
    return f"up to {_MANY} events delivered a second time, by each broker"


def _kill_run(stage: Stage) -> str:
    """Kill the process of a run that is under way."""
    found: list[int] = []

    def look() -> bool:
        found.extend(_run_pids(stage))
        return bool(found)

    if not stage.wait(look, seconds=_RUN_SECONDS):
        return "no run came within a minute"
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
    Step("a run dies", _kill_run),
    Step("the collector dies", lambda stage: stage.kill("collector")),
    Step("PostgreSQL dies", lambda stage: stage.kill("postgres")),
    Step("Dagster's daemon dies", lambda stage: stage.kill("daemon")),
    Step("Kafka hangs", _freeze_kafka),
)
