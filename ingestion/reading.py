"""Reading a batch: its windows' events, decoded, until they are complete or the batch is large or late.

What was read says where it begins and in which log, so that it can be kept for a batch that comes later:
below its end a log does not change, and the ledger says whether that batch is still the next one.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.decode import Decoded, decode_json
from ingestion.faultpoints import faultpoint
from ingestion.settings import Settings
from ingestion.sources.base import Bounds, Log, Window
from ingestion.streams import Stream


@dataclass(frozen=True)
class Read:
    """What was read for a batch.

    Attributes:
        batch_id: The batch's number, which stands in every row.
        started_at: When reading began, UTC.
        starts: Partition → where its window begins.
        log_ids: Partition → the log that it was read from.
        positions: Partition → where reading ended; the positions of those without a window stay.
        decoded: Events and rejects, a part per chunk.
        sources: Partition, time and bytes of each event, likewise.
    """

    batch_id: int
    started_at: datetime
    starts: Mapping[str, int]
    log_ids: Mapping[str, str]
    positions: dict[str, int]
    decoded: list[Decoded] = field(default_factory=list)
    sources: list[pa.Table] = field(default_factory=list)

    def begins(self, batch_id: int, windows: Mapping[str, Window], bounds: Mapping[str, Bounds]) -> bool:
        """Whether it is what reading these windows for this batch would begin with."""
        return (
            batch_id == self.batch_id
            and self.starts == {name: window.start for name, window in windows.items()}
            and self.log_ids == {name: bounds[name].log_id for name in windows}
        )


def read_windows(
    stream: Stream,
    log: Log,
    windows: Mapping[str, Window],
    bounds: Mapping[str, Bounds],
    *,
    batch_id: int,
    settings: Settings,
    clock: Callable[[], datetime],
    stopped: Callable[[], bool] = lambda: False,
) -> Read:
    """Read until the windows are complete or the batch's bytes or seconds are used up.

    Args:
        stream: The stream.
        log: Its log.
        windows: Partition → what to read; at most.
        bounds: What the log held when the windows were planned.
        batch_id: Number of the batch that the rows will land in.
        settings: The limits.
        clock: Returns the present, UTC.
        stopped: Asked between chunks: whether nobody wants the rest.

    Raises:
        MillraceError: As the log's read does.
    """
    starts = {name: window.start for name, window in windows.items()}
    read = Read(batch_id, clock(), starts, {name: bounds[name].log_id for name in windows}, dict(starts))
    deadline = time.monotonic() + settings.batch_max_seconds
    size = 0
    for chunk in log.read({name: window for name, window in windows.items() if window.end > window.start}):
        faultpoint("batch.polled")
        decoded = decode_json(
            chunk.events,
            stream=stream.name,
            batch_id=batch_id,
            ingested_at=clock(),
            max_bytes=settings.payload_max_bytes,
        )
        read.decoded.append(decoded)
        read.sources.append(
            chunk.events.select(["source_partition", "event_time"]).append_column(
                "bytes", pc.fill_null(pc.binary_length(chunk.events["value"]), 0)
            )
        )
        read.positions.update(chunk.positions)
        size += int(pc.sum(read.sources[-1]["bytes"]).as_py() or 0)
        if size >= settings.batch_max_bytes or time.monotonic() >= deadline or stopped():
            break
    return read
