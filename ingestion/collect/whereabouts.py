"""Where events are that a collector has stored: in their spool still, or in the lake, by which batches.

Asked by senders with a receipt, from threads of a listener's own.
"""

import threading
from contextlib import closing
from pathlib import Path

from ingestion.connectors.intake import Whereabouts
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.spool.lanes import Place
from ingestion.spool.log import SpoolLog

_BATCHES = """
select batch_id, start_position, end_position from raw.batches
where stream = ? and source_partition = ? and start_position < end_position
    and end_position > ? and start_position < ?
order by batch_id
"""


class LakeView:
    """A look into the lake, which is opened with the first question.

    Args:
        settings: Where the lake is.
        spool: The folder of all spools.
    """

    def __init__(self, settings: Settings, spool: Path) -> None:
        self._lake, self._spool = Lake(settings, read_only=True), spool
        self._lock = threading.Lock()

    def find(self, place: Place, count: int) -> Whereabouts | None:
        """Where `count` events from a place on are; None where their spool was replaced.

        Args:
            place: The first one's; of its log's identity a beginning is enough.
            count: How many there are.

        Raises:
            MillraceError: Lake or spool cannot be read.
        """
        with closing(SpoolLog(place.spool, self._spool)) as log:
            bounds, shift = log.spool_bounds()
            if bounds is None or not place.log_id or not bounds.log_id.startswith(place.log_id):
                return None
            first = place.position + shift.shift(bounds)
        if place.position + count > bounds.end:
            return None
        with self._lock:
            try:
                return self._look(place.spool, log.partition, first, first + count)
            except MillraceError:
                self._lake.close()
                raise

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._lake.close()

    def _look(self, stream: str, partition: str, first: int, end: int) -> Whereabouts:
        snapshot = self._lake.snapshot_id()
        rows = []
        if ("raw", "batches") in self._lake.tables():
            rows = self._lake.query(_BATCHES, [stream, partition, first, end])
        found = sum(min(stop, end) - max(start, first) for _, start, stop in rows)
        return Whereabouts(first, end - first, found, tuple(int(row[0]) for row in rows), snapshot)
