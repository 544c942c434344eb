"""Everything that watches a running system, put together: observer, journal, reactions, web UI."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from ingestion.declare.stream import Stream
from ingestion.errors import StorageError
from ingestion.settings import Settings
from orchestration.conditions.condition import Condition, Finding
from orchestration.conditions.gaps import gap_findings
from orchestration.conditions.reports import Reporter, reported
from orchestration.conditions.rule_alerts import rule_alert_findings
from orchestration.conditions.silence import silence_findings
from orchestration.observe import machine
from orchestration.observe.launching import Launcher
from orchestration.observe.observer import Observer, Seen
from orchestration.observe.probes import Question
from orchestration.observe.reacting import Reacting
from orchestration.observe.sources import is_stale
from orchestration.observe.ui import UiReporter
from orchestration.observe.watchman import Watchman
from orchestration.records.system_state import ServiceRow
from orchestration.web.client import WebClient

_REPORTED_KINDS: Mapping[Reporter, tuple[str, ...]] = {
    "definitions": ("project_file_broken",),
    "arrivals": (
        "stream_paused", "stream_stalled", "rejects_flood", "schema_changed", "model_failing",
        "source_unreachable", "partition_stopped",
    ),
}  # fmt: skip


_HEARING_SECONDS = 120.0  # what came while nothing ran is in the lake by then


class Watch:
    """One a running system; `look` is called from its main loop, about once a second.

    Args:
        settings: As loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watchman = Watchman(settings.data_dir)
        self._reacting = Reacting(settings)
        self._services: tuple[ServiceRow, ...] = ()
        self._restarts = machine.Restarts(settings.data_dir / "logs")
        self._unwritable = ""
        self._began = time.monotonic()
        self._streams: Callable[[], Sequence[Stream]] = tuple
        self._observer: Observer | None = None
        self._ui: UiReporter | None = None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What does not work, the most important first."""
        return self._watchman.open()

    def start(
        self,
        settings: Settings,
        web: WebClient | None,
        *,
        questions: Mapping[str, Question],
        streams: Callable[[], Sequence[Stream]],
    ) -> None:
        """Begin to observe and to send alerts; everything has been started.

        Args:
            settings: With the addresses of what is embedded.
            web: Reaches the web UI; None without one.
            questions: How processes are asked whether they work.
            streams: The declared streams.
        """
        self._settings, self._streams = settings, streams
        self._observer = Observer(settings, lambda: self._services, questions=questions, streams=streams)
        self._observer.start()
        self._reacting.start(settings, launch=Launcher(web) if web is not None else None)
        if web is not None:
            self._ui = UiReporter(self._watchman, web)
            self._ui.worker.start()

    def seen(self) -> Seen:
        """What the observer found last."""
        return self._observer.seen() if self._observer is not None else Seen()

    def look(self, services: Sequence[ServiceRow], findings: Iterable[Finding]) -> None:
        """Take in what is wrong now.

        Args:
            services: The processes.
            findings: What the caller found; they take the place of the observer's about the same.
        """
        self._services = tuple(services)
        seen = self.seen()
        unknown = set(seen.unknown)
        found = [*self._restarts.down(services, now_s=time.monotonic()), *seen.findings, *findings]
        found += self._reacting.findings()
        if self._unwritable:
            found.append(Finding("files_not_writable", "conditions", self._unwritable))
        data_dir = self._settings.data_dir
        found += reported(data_dir, by="loading") or ()
        now = datetime.now(UTC)
        found += gap_findings(data_dir, self._streams(), now=now)
        found += rule_alert_findings(data_dir)
        stale = is_stale(self._settings)
        for reporter, kinds in _REPORTED_KINDS.items():
            sentences = reported(data_dir, by=reporter)
            found += [each for each in sentences or () if not (stale and each.name == "source_unreachable")]
            unknown |= set() if sentences is not None else set(kinds)
        if stale or time.monotonic() - self._began < _HEARING_SECONDS:
            unknown.add("stream_silent")
        else:
            streams = {stream.name for stream in self._streams()}
            found += silence_findings(data_dir, streams, troubled={each.subject for each in found}, now=now)
        try:
            try:
                self._watchman.note(found, unknown=unknown, now=now)
            finally:
                self._reacting.look(self._watchman, now=now)
            self._unwritable = ""
        except StorageError as error:
            self._unwritable = str(error)

    def stop(self) -> None:
        """End."""
        if self._ui is not None:
            self._ui.worker.stop()
        self._reacting.stop()
        if self._observer is not None:
            self._observer.stop()
