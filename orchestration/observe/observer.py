"""Looks at databases and the machine on a thread of its own: what hangs must not hold up the supervisor."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ingestion.clock import StampAges
from ingestion.declare.stream import Stream
from ingestion.errors import CatalogUnavailable
from ingestion.lake.catalog import Connection, connect_catalog, require_answer
from ingestion.settings import Settings
from orchestration.conditions.condition import Finding
from orchestration.conditions.reports import known_checks
from orchestration.observe import dagster, machine
from orchestration.observe.budgets import Budgets
from orchestration.observe.collecting import Collecting
from orchestration.observe.probes import Probes, Question
from orchestration.observe.serving import Serving
from orchestration.observe.sources import Sources
from orchestration.observe.worker import Worker
from orchestration.records.reader import DagsterRecords
from orchestration.records.system_state import ServiceRow

_DATABASE_KINDS = frozenset({*dagster.KINDS, "catalog_unreachable"})
_KINDS = _DATABASE_KINDS | {
    "service_stuck", "collector_in_trouble", "spool_blocked", "disk_low", "source_unreachable",
    "serving_behind",
}  # fmt: skip

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 4.0
_HANGS_SECONDS = 20.0  # longer than all limits of a look together
_AGAIN = "Streams go on by themselves when it answers again; 'millrace doctor' tries it."


@dataclass(frozen=True)
class Seen:
    """What a look found.

    Attributes:
        findings: What is wrong.
        unknown: The kinds of which it could not say anything.
    """

    findings: tuple[Finding, ...] = ()
    unknown: frozenset[str] = _KINDS


class Observer:
    """Looks every few seconds: at the machine, and apart from that at the databases, which may hang.

    Args:
        settings: The settings of the running system.
        services: Its processes now.
        questions: How processes that serve others are asked whether they work.
        streams: The declared streams.
        pause_s: Seconds between two looks at the databases.

    Attributes:
        workers: Its threads.
    """

    def __init__(
        self,
        settings: Settings,
        services: Callable[[], Sequence[ServiceRow]],
        *,
        questions: Mapping[str, Question] | None = None,
        streams: Callable[[], Sequence[Stream]] = tuple,
        pause_s: float = 3.0,
    ) -> None:
        self._settings, self._services = settings, services
        self._records = DagsterRecords(settings, patience_seconds=_PATIENCE_SECONDS)
        self._catalog: Connection | None = None
        self._machine = self._databases = Seen()
        self._began_at: float | None = None
        self._answers_since: float | None = None
        self._folders = set[Path]()
        self._collecting = Collecting(settings.data_dir)
        self._serving = Serving(settings.data_dir)
        self._probes = Probes(questions or {})
        self._sources = Sources(settings, streams)
        self._ages = StampAges()
        self._budgets = Budgets()
        # A look that hangs when it stops is left to end with the process.
        self.workers = (
            Worker("observer", self._look_once, pause_s=lambda: 1.0, patience_s=_PATIENCE_SECONDS),
            Worker(
                "database observer",
                self._ask_once,
                pause_s=lambda: pause_s,
                patience_s=2 * _PATIENCE_SECONDS,
                at_end=self._close,
            ),
        )

    def start(self) -> None:
        """Begin to look."""
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """End."""
        for worker in self.workers:
            worker.stop()

    def seen(self) -> Seen:
        """What the last look found. A look that hangs is a finding of its own."""
        began_at, databases = self._began_at, self._databases
        if began_at is not None and time.monotonic() - began_at > _HANGS_SECONDS:
            hangs = Finding("catalog_unreachable", "PostgreSQL", "PostgreSQL does not answer", _AGAIN)
            databases = Seen((hangs,), _DATABASE_KINDS)
        found = (*self._machine.findings, *databases.findings)
        # A process may be both halted and silent: its condition has one sentence, the first.
        findings = tuple({each.key: each for each in reversed(found)}.values())
        return Seen(findings, self._machine.unknown | databases.unknown)

    def look_at_machine(self) -> Seen:
        """Look at processes, collectors and disks once."""
        services, settings = tuple(self._services()), self._settings
        folders = [settings.data_dir, *_local(settings.resolved_lake_path)]
        return Seen(
            (
                *machine.standing(services),
                *self._collecting.look(services),
                *self._serving.look(services),
                *self._probes.look(services),
                *machine.disks(folders, known=self._folders, reserve_bytes=settings.disk_reserve_bytes),
                *self._sources.look(),
            ),
            frozenset(),
        )

    def look_at_databases(self) -> Seen:
        """Look at the catalog and at Dagster's storage once."""
        findings = [*self._lake_catalog()]
        try:
            checks = known_checks(self._settings.data_dir)
            findings += dagster.look(self._records, checks=checks, age=self._ages.of, budgets=self._budgets)
            findings += self._silent()
        except CatalogUnavailable as error:
            self._answers_since = None
            if not findings:
                findings.append(Finding("catalog_unreachable", "Dagster's storage", str(error), _AGAIN))
            return Seen(tuple(findings), _DATABASE_KINDS - {"catalog_unreachable"})
        return Seen(tuple(findings), frozenset({"budget_broken"} if self._budgets.is_learning else ()))

    def _look_once(self) -> None:
        self._machine = self.look_at_machine()

    def _ask_once(self) -> None:
        try:
            self._began_at = time.monotonic()
            self._databases = self.look_at_databases()
        except Exception as error:  # whatever it is, the next look may succeed
            self._databases = Seen()
            self._records.close()
            _log.warning("Looking after the system failed once: %s", type(error).__name__)
        self._began_at = None

    def _close(self) -> None:
        self._records.close()
        self._close_catalog()

    def _lake_catalog(self) -> Iterator[Finding]:
        try:
            if self._catalog is None:
                self._catalog = connect_catalog(self._settings, application_name="millrace observer")
            require_answer(self._catalog, within_seconds=_PATIENCE_SECONDS)
        except CatalogUnavailable as error:
            self._close_catalog()
            yield Finding("catalog_unreachable", "catalog", str(error), _AGAIN)

    def _close_catalog(self) -> None:
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def _silent(self) -> Iterator[Finding]:
        """Processes of Dagster's that evaluate nothing, unless a database was away until just now."""
        since = self._answers_since = self._answers_since or time.monotonic()
        for row in self._services():
            runs_for = machine.runs_for(row.pid)
            if runs_for is None or row.name not in ("daemon", "code-server"):
                continue
            within = min(runs_for, timedelta(seconds=time.monotonic() - since))
            if row.name == "daemon":
                silent = dagster.silent_daemon(self._records, within=within, age=self._ages.of)
            else:
                silent = dagster.hanging_tick(self._settings.data_dir, within=within)
            if silent is not None:
                yield silent


def _local(lake_path: str) -> list[Path]:
    """The lake's folder, if it is one of this machine."""
    return [] if "://" in lake_path else [Path(lake_path)]
