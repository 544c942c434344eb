"""What the ledger adds: bytes read, and how old events were when the lake had them, as a histogram.

Work is proportional to what is new: the ledger is summed up once, afterwards only its newest hour is read.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import duckdb
from prometheus_client.core import HistogramMetricFamily, Metric

from ingestion.lake.lake import Lake
from orchestration.metrics.families import Name, family

BUCKETS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds, seconds; what is older counts for +Inf only."""
_OVERLAP = timedelta(hours=1)  # streams' batches are not committed in the order in which they were read
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_ALL = (
    "select stream, max(batch_id), sum(bytes_read)::double, max(ingested_at) from raw.batches group by stream"
)
_NEW = (
    "select stream, batch_id, sum(bytes_read)::double, sum(events_landed)::double, "
    "epoch(max(ingested_at) - min(first_event_time)), max(ingested_at) from raw.batches "
    "where ingested_at >= ? group by stream, batch_id order by batch_id"
)


@dataclass
class _Ages:
    """Events by their age: how many in each bucket, and the sum of their ages in seconds."""

    counts: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    total: float = 0.0


class LedgerFigures:
    """Adds up. Not for sharing between threads.

    The histogram counts from the first look on, as every counter does after a restart.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._bytes: defaultdict[str, float] = defaultdict(float)
        self._ages: defaultdict[str, _Ages] = defaultdict(_Ages)
        self._seen_to = _BEGINNING
        self._begun = False

    def look(self, lake: Lake) -> None:
        """Take in what is new in the ledger.

        Raises:
            MillraceError: The lake cannot be read.
        """
        try:
            if not self._begun:
                self._begin(lake)
            else:
                self._go_on(lake)
        except duckdb.Error as error:
            raise lake.explain(error) from None

    def families(self) -> Iterator[Metric]:
        """As it was at the last look."""
        yield family(
            Name(
                "stream_read_bytes", "Bytes of payload read from the source, ever.", ("stream",), grows=True
            ),
            (((stream,), size) for stream, size in sorted(self._bytes.items())),
        )
        ages = HistogramMetricFamily(
            "millrace_stream_event_age_seconds",
            "Age of events when the lake had them, by their batch's oldest one, since the exporter began.",
            labels=("stream",),
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        for stream, held in sorted(self._ages.items()):
            counts = list(zip(bounds, accumulate(held.counts), strict=True))
            ages.add_metric([stream], counts, sum_value=held.total)
        yield ages

    def _begin(self, lake: Lake) -> None:
        for stream, batch_id, read, read_at in lake.query(_ALL):
            self._last[stream], self._bytes[stream] = batch_id, read
            self._ages[stream] = _Ages()
            self._seen_to = max(self._seen_to, read_at)
        self._begun = True

    def _go_on(self, lake: Lake) -> None:
        since = max(_BEGINNING, self._seen_to - _OVERLAP)
        for stream, batch_id, read, landed, age, read_at in lake.query(_NEW, [since]):
            if batch_id <= self._last.get(stream, 0):
                continue
            self._last[stream] = batch_id
            self._bytes[stream] += read
            self._seen_to = max(self._seen_to, read_at)
            held = self._ages[stream]
            if age is not None and landed:
                held.counts[bisect_left(BUCKETS, age)] += landed
                held.total += landed * max(0.0, age)
