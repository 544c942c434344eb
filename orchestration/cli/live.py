"""The live view of a running system: an overview, read every second or two on its own thread.

On anything but a terminal it prints a line per step instead. What runs is in orchestration/system.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from orchestration.cli.context import complain, out
from orchestration.cli.rates import Rates
from orchestration.cli.screen import OnOneScreen
from orchestration.cli.tables import (
    checks_line,
    checks_summary,
    runs_table,
    services_line,
    services_table,
    streams_table,
    wrong,
)
from orchestration.conditions.condition import Condition
from orchestration.records.overview import Overview, OverviewReader
from orchestration.records.system_state import ServiceRow
from orchestration.system.running import System


class Watcher:
    """Reads overviews in the background, so that a slow broker never delays supervision.

    Args:
        system: Is running; its streams may change.
        pause_s: Seconds between two reads.
    """

    def __init__(self, system: System, *, pause_s: float) -> None:
        self.latest: Overview | None = None
        self.rates: Mapping[str, float] = {}
        self._system, self._pause_s = system, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="overview", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits for the read that is under way."""
        self._stop.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        streams = self._system.streams
        reader, rates = OverviewReader(self._system.settings, streams), Rates()
        try:
            while not self._stop.is_set():
                if self._system.streams != streams:
                    reader.close()
                    streams = self._system.streams
                    reader = OverviewReader(self._system.settings, streams)
                overview = reader.read()
                counts = {row.stream: row.rows + row.rejects for row in overview.streams}
                self.rates = rates.measure(counts, now_s=time.monotonic())
                self.latest = overview
                self._stop.wait(self._pause_s)
        finally:
            reader.close()


def render(
    overview: Overview | None, services: tuple[ServiceRow, ...], *, title: str,
    conditions: Sequence[Condition], rates: Mapping[str, float], now: datetime,
    extra: RenderableType | None = None,
) -> OnOneScreen:  # fmt: skip
    """The view, what matters most first: what does not work, streams, processes, extras, checks, runs."""
    view = OnOneScreen(Text(title, style="bold"), end=Text("Ctrl-C stops everything.", style="dim"))
    errors = overview.errors if overview is not None else ()
    troubles = wrong(conditions, errors, now=now)
    if troubles is not None:
        shorter = wrong(conditions, errors, now=now, in_short=True)
        view.add("what does not work", troubles, shorter=shorter)
    if overview is not None:
        view.add("streams", streams_table(overview.streams, now=now, rates=rates))
    view.add("services", services_table(services), shorter=services_line(services))
    if extra is not None:
        view.add("freshness", extra)
    if overview is not None and overview.checks:
        view.add("checks", checks_summary(overview.checks), shorter=checks_line(overview.checks))
    if overview is not None and overview.runs:
        view.add("runs", runs_table(overview.runs, now=now))
    return view


class Terminated(KeyboardInterrupt):
    """SIGTERM: stop at once."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Treat SIGTERM as Ctrl-C; until the block is left, both are ignored from the first on.

    Yields:
        To be asked now and then: raises the KeyboardInterrupt again that a library swallowed (DuckDB makes
        "Query interrupted" of it, which looks like a failed query); otherwise false.
    """
    asked: list[type[KeyboardInterrupt]] = []

    def interrupt(number: int, _: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        asked.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise asked[0]

    def swallowed() -> bool:
        if asked:
            raise asked[0]
        return False

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield swallowed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def addresses(system: System) -> str:
    """Where browsers look, as the end of a line; empty without a web UI."""
    if not system.ui_url:
        return ""
    return f"; {system.page_url} shows it live, {system.ui_url} is the web UI"


def progress(message: str) -> None:
    """One line about what comes next."""
    out.print(f"[dim]{datetime.now():%H:%M:%S}[/] {message} …")


def watch(
    system: System,
    *,
    title: str,
    until: Callable[[], bool],
    pause_s: float = 2.0,
    extra: Callable[[], RenderableType | None] = lambda: None,
    checked: Callable[[Sequence[ServiceRow]], None] = lambda _: None,
) -> None:
    """Supervise a started system and show it, until `until` says so or Ctrl-C.

    Args:
        system: Is running.
        title: The first line.
        until: Asked about once a second.
        pause_s: Seconds between two reads of the lake.
        extra: What else is shown.
        checked: Called with what runs, after each check.
    """
    if not out.is_terminal:
        out.print(title)
        shown: dict[int, Condition] = {}
        while not until():
            checked(system.check(time.monotonic()))
            now_open = {each.number: each for each in system.conditions}
            for number, condition in now_open.items():
                if number not in shown or shown[number].finding != condition.finding:
                    complain(condition.text)
            for number in shown.keys() - now_open.keys():
                out.print(f"over: {shown[number].finding.sentence}", markup=False)
            shown = now_open
            time.sleep(0.5)
        return
    watcher = Watcher(system, pause_s=pause_s)
    watcher.start()
    try:
        with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
            while not until():
                services = system.check(time.monotonic())
                checked(services)
                view = render(
                    watcher.latest, services, title=title, conditions=system.conditions, rates=watcher.rates,
                    now=datetime.now(UTC), extra=extra(),
                )  # fmt: skip
                live.update(view, refresh=True)
                time.sleep(1.0)
    finally:
        watcher.stop()
