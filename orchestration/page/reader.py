"""Reads for all viewers at once: when the lake has a new version, and at rest every few seconds.

While nobody looks, nothing is read, and the connections are closed.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import duckdb

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.lake.newest import NewestVersion
from ingestion.serve.moments import Moments
from ingestion.settings import Settings
from orchestration.cli.declared import declared_or_in_use
from orchestration.cli.rates import Rates
from orchestration.conditions.journal import read_conditions
from orchestration.page.action_log import newest_actions
from orchestration.page.actions import for_viewers
from orchestration.page.heard import HeardReader
from orchestration.page.hub import Hub, Key
from orchestration.page.look import read_look
from orchestration.page.martcontent import MartsReader
from orchestration.page.pages import PAGES, Sources
from orchestration.page.views.actions import done_tiles
from orchestration.page.views.conditions import NOBODY, open_tiles, over_tiles
from orchestration.records.overview import OverviewReader
from orchestration.records.system_state import read_system_state

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 5.0
"""Lag grows without a commit, and runs begin and end without one."""
_IDLE_SECONDS = 60.0
_SHOWN_ACTIONS = 20

_log = logging.getLogger(__name__)


class Reader:
    """One a process; its threads are the only ones that read for pages.

    Args:
        settings: Where everything is.
        hub: Knows who looks, and gets what was read.
    """

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._settings, self._hub = settings, hub
        self._stopping = threading.Event()
        self._opened = {name: threading.Event() for name in ("read", "watch")}
        self._opened_for: tuple[OverviewReader, Sources] | None = None
        self._newest = NewestVersion(settings, application_name="millrace page")
        self._rates = Rates()
        self._heard = HeardReader(settings.data_dir)
        self._seen: tuple[frozenset[Key], int | None] = (frozenset(), None)
        self._read_s = -_AGAIN_SECONDS
        self._moments = Moments()
        self._used_s = time.monotonic()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("page reader", self._read), ("page conditions", self._watch))
        ]

    def wake(self) -> None:
        """Somebody has opened a page: look now."""
        for opened in self._opened.values():
            opened.set()

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; a read that hangs ends with the process."""
        self._stopping.set()
        for opened in self._opened.values():
            opened.set()
        for thread in self._threads:
            thread.join(timeout=3)

    def _read(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            self._opened["read"].clear()
            wanted = self._hub.wanted()
            try:
                if wanted:
                    self._used_s = began
                    self._turn(wanted, began)
                elif began - self._used_s > _IDLE_SECONDS:
                    self._close()
            except Exception as error:  # the next turn may succeed; the text may hold a secret
                _log.warning("The live page could not read once: %s", type(error).__name__)
                self._close()
            self._opened["read"].wait(_LOOK_SECONDS)
        self._close()

    def _turn(self, wanted: frozenset[Key], now_s: float) -> None:
        newest = self._version()
        seen = (wanted, newest)
        if seen == self._seen and now_s - self._read_s < _AGAIN_SECONDS:
            return
        self._seen, self._read_s = seen, now_s
        overviews, sources = self._open()
        with _one_version(overviews.lake):
            look = read_look(self._settings, overviews, self._moments)
            counts = {row.stream: row.rows + row.rejects for row in look.overview.streams}
            look = replace(look, rates=self._rates.measure(counts, now_s=now_s))
            for view, of in sorted({(key.view, key.of) for key in wanted}):
                tiles = PAGES[view].tiles(look, sources, of)
                self._publish((key for key in wanted if (key.view, key.of) == (view, of)), "2", tiles)

    def _publish(self, keys: Iterable[Key], part: str, tiles: Mapping[str, str]) -> None:
        """Made once for operators and viewers."""
        for key in keys:
            self._hub.publish(key, part, tiles if key.operates else for_viewers(tiles))

    def _version(self) -> int | None:
        """The lake's newest version, asked of the catalog alone; None where it does not answer."""
        try:
            return self._newest.read()
        except MillraceError:  # what is wrong with it stands in the overview
            return None

    def _open(self) -> tuple[OverviewReader, Sources]:
        streams = declared_or_in_use(self._settings).streams or ()
        if self._opened_for is None or self._opened_for[1].streams != streams:
            self._close_reader()
            overviews = OverviewReader(self._settings, streams)
            marts = MartsReader(self._settings)
            heard = HeardReader(self._settings.data_dir)
            self._opened_for = overviews, Sources(self._settings, streams, overviews.lake, marts, heard)
        return self._opened_for

    def _watch(self) -> None:
        """What does not work is in files: it is shown although databases hang."""
        while not self._stopping.is_set():
            self._opened["watch"].clear()
            wanted = self._hub.wanted()
            if wanted:
                self._show(wanted)
            self._opened["watch"].wait(_LOOK_SECONDS)

    def _show(self, wanted: Iterable[Key]) -> None:
        conditions = read_conditions(self._settings.data_dir)
        state = read_system_state(self._settings.data_dir)
        for key in wanted:
            heard = self._heard.read() if key.view == "journal" else NOBODY
            self._publish([key], "1", open_tiles(conditions, state, view=key.view, heard=heard))
            if key.view == "journal":
                done = newest_actions(self._settings.data_dir, count=_SHOWN_ACTIONS)
                self._publish([key], "3", {**over_tiles(conditions, heard), **done_tiles(done)})

    def _close(self) -> None:
        self._close_reader()
        self._newest.close()
        self._seen = (frozenset(), None)

    def _close_reader(self) -> None:
        if self._opened_for is not None:
            overviews, sources = self._opened_for
            for close in (overviews.close, sources.marts.close):
                with suppress(Exception):
                    close()
            self._opened_for = None


@contextmanager
def _one_version(lake: Lake) -> Iterator[None]:
    """Everything that is read meanwhile is of one version; without a lake, nothing is read of it."""
    try:
        connection = lake.connection
        connection.execute("begin transaction read only")
    except (MillraceError, duckdb.Error):  # why stands in the overview
        yield
        return
    try:
        yield
    finally:
        with suppress(duckdb.Error):
            connection.execute("rollback")
