"""What a collector reads in the lake, for listeners that ask: opened, and imported, with the first question.

Most collectors are never asked, and DuckDB with what reads the lake is 9 MiB of a process's memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingestion.connectors.intake import Whereabouts
from ingestion.connectors.marts import MartAnswer, Wanted
from ingestion.settings import Settings
from ingestion.spool.lanes import Place

if TYPE_CHECKING:
    from ingestion.collect.whereabouts import LakeView
    from ingestion.serve.reader import LakeMartReader


class AskedLake:
    """Reads marts (connectors/marts.py, MartReader) and says where events are; from any thread.

    Args:
        settings: Where the lake and the spools are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._view: LakeView | None = None
        self._reader: LakeMartReader | None = None

    def names(self) -> Sequence[str]:
        """The marts that are served."""
        return self._marts().names()

    def open(self, wanted: Wanted) -> MartAnswer:
        """Begin to answer.

        Raises:
            MartRefused: It is not answered, and why.
        """
        return self._marts().open(wanted)

    def find(self, place: Place, count: int) -> Whereabouts | None:
        """Where `count` events from a place on are; None where their spool was replaced.

        Raises:
            MillraceError: Lake or spool cannot be read.
        """
        with self._lock:
            if self._view is None:
                from ingestion.collect.whereabouts import LakeView

                self._view = LakeView(self._settings, self._settings.data_dir / "spool")
        return self._view.find(place, count)

    def close(self) -> None:
        """Close what was opened."""
        for opened in (self._view, self._reader):
            if opened is not None:
                opened.close()

    def _marts(self) -> LakeMartReader:
        with self._lock:
            if self._reader is None:
                from ingestion.serve.reader import LakeMartReader

                self._reader = LakeMartReader(self._settings)
        return self._reader
