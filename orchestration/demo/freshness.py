"""An independent reader that polls the marts and notes when each event became visible there.

It knows nothing of runs or sensors, only the lake, as a dashboard would. Judging is summary.py's.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb

from ingestion.errors import MillraceError
from ingestion.lake.lake import WATCHER_SECONDS, Lake
from ingestion.settings import Settings
from orchestration.demo.streams import PLANT, PlantStream

POLL_SECONDS = 0.2
LATE_SECONDS = 2.0


@dataclass(frozen=True)
class Sight:
    """One batch as it became visible.

    Attributes:
        stream: Its stream.
        batch_id: Its number.
        seen_at: When the reader found it in the mart, UTC.
        ages_s: Seconds from each event's own time until then. Events that reached the broker late are left
            out: that wait is not the system's.
    """

    stream: str
    batch_id: int
    seen_at: datetime
    ages_s: tuple[float, ...]


@dataclass
class FreshnessReader:
    """Polls on its own thread until it is stopped.

    Attributes:
        settings: Where the lake is.
        streams: Those whose marts it looks at.
        sights: What it saw so far.
    """

    settings: Settings
    streams: tuple[PlantStream, ...] = PLANT
    sights: list[Sight] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._seen = dict.fromkeys(self.streams, 0)
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits for the poll that is under way."""
        self._stop.set()
        self._thread.join(timeout=15)

    def ages(self, stream: str) -> list[float]:
        """All ages seen so far, seconds, sorted."""
        return sorted(age for sight in self.sights if sight.stream == stream for age in sight.ages_s)

    def _run(self) -> None:
        lake, snapshot = Lake(self.settings, read_only=True, renew_seconds=WATCHER_SECONDS), -1
        while not self._stop.wait(POLL_SECONDS):
            try:
                newest = lake.snapshot_id()
                if newest != snapshot:
                    snapshot = newest
                    for stream in self.streams:
                        self._look(lake, stream)
            except (MillraceError, duckdb.Error):
                lake.close()  # no mart yet, or the catalog does not answer: look again
        lake.close()

    def _look(self, lake: Lake, stream: PlantStream) -> None:
        try:
            newest = int(lake.query(f"select coalesce(max(last_batch_id), 0) from {stream.mart}")[0][0])
        except duckdb.CatalogException:
            return  # not built yet
        seen_at, before = datetime.now(UTC), self._seen[stream]
        if newest <= before:
            return
        self._seen[stream] = newest
        rows = lake.query(
            f"""
            select batch_id, date_diff('millisecond', event_at, ?::timestamptz) / 1000
            from {stream.staging}
            where batch_id > ? and batch_id <= ?
            qualify event_at >= max(event_at) over (
                partition by source_partition order by batch_id, position
            ) - to_milliseconds({int(LATE_SECONDS * 1000)})
            """,
            [seen_at, before, newest],
        )
        ages: dict[int, list[float]] = {}
        for batch_id, age in rows:
            ages.setdefault(int(batch_id), []).append(float(age))
        self.sights += [Sight(stream.name, batch, seen_at, tuple(values)) for batch, values in ages.items()]
