"""What a run read and wrote, for a catalog that takes OpenLineage: a run of each job, from START to its end.

Values only (jobs.py); a thread makes events of them (lineage_events.py), and nobody waits for it. The library
is imported where lineage is on, and nowhere else (OPENLINEAGE_URL; docs/lineage.md).
"""

import logging
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import replace

from ingestion.libraries import installed
from ingestion.project import DISTRIBUTION
from ingestion.settings import Settings
from ingestion.telemetry.jobs import SWITCHES, Assertion, Event, Job, Work
from ingestion.telemetry.receiver import Receiver

_log = logging.getLogger(__name__)
_MOST_WAITING = 2_000
"""Events of a receiver that is slower than runs; further ones are dropped."""


class RunLineage:
    """Of one run of Dagster's, whose cycles' batches and builds are one run of each job. For one thread.

    Args:
        settings: Say whether there is a receiver.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_on: bool | None = None
        self._works: dict[str, Work] = {}
        self._thread: _Thread | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is a receiver."""
        if self._is_on is None:
            self._is_on = is_on(self._settings)
            if self._is_on and not installed(["openlineage"]):
                self._is_on = False
                _log.warning("There are no lineage events: install '%s[openlineage]'", DISTRIBUTION)
        return self._is_on

    def did(
        self,
        job: Job,
        *,
        parent: str,
        began: float,
        rows: int | None = None,
        bytes: int | None = None,
        version: int | None = None,
        assertions: Iterable[Assertion] = (),
        failure: str = "",
    ) -> None:
        """Note what a job did once more; the first time begins its run.

        Args:
            job: Which.
            parent: The id of Dagster's run.
            began: When it began this time, in seconds since 1970.
            rows: That it wrote this time.
            bytes: That it read this time.
            version: Of the lake, that shows what it wrote.
            assertions: The checks that it made.
            failure: Why it failed, in a sentence; empty where it did not.
        """
        if not self.is_on:
            return
        before = self._works.get(job.name)
        work = before or Work(job, parent, began)
        self._works[job.name] = replace(
            work,
            job=job,
            rows=_sum(work.rows, rows),
            bytes=_sum(work.bytes, bytes),
            version=work.version if version is None else version,
            assertions={**work.assertions, **{each.check: each.passed for each in assertions}},
            failure=failure,
        )
        if before is None:
            self._send(Event("START", began, Work(job, parent, began)))

    def close(self) -> None:
        """The run is over, and so is the run of each of its jobs."""
        works, self._works = self._works, {}
        for work in works.values():
            self._send(Event("FAIL" if work.failure else "COMPLETE", time.time(), work))
        if self._thread is not None:
            self._thread.end()
            self._thread = None

    def _send(self, event: Event) -> None:
        if self._thread is None:
            self._thread = _Thread(self._settings)
        self._thread.send(event)


def is_on(settings: Settings) -> bool:
    """Whether the client's own variables name a receiver.

    Args:
        settings: Read the environment and .env.
    """
    disabled = settings.secret("OPENLINEAGE_DISABLED")
    if disabled is not None and disabled.get_secret_value().strip().lower() in ("true", "1"):
        return False
    return any(settings.secret(name) is not None for name in SWITCHES)


class _Thread:
    """Makes events and sends them, one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting = queue.Queue[Event | None](maxsize=_MOST_WAITING)
        self._receiver = Receiver("lineage events", "OPENLINEAGE_URL")
        self._thread = threading.Thread(target=self._run, name="lineage", daemon=True)
        self._thread.start()

    def send(self, event: Event | None) -> None:
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            return

    def end(self) -> None:
        self.send(None)
        self._receiver.wait_for(self._thread)

    def _run(self) -> None:
        sender = None
        while (event := self._waiting.get()) is not None:
            with self._receiver.asked() as answer:
                if sender is None:
                    from ingestion.telemetry.lineage_events import LineageSender

                    sender = LineageSender(self._settings)
                sender.send(event)
                answer.taken = True
        if sender is not None:
            with self._receiver.asked() as answer:
                sender.close()
                answer.taken = True


def _sum(before: int | None, more: int | None) -> int | None:
    return before if more is None else (before or 0) + more
