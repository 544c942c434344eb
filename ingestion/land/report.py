"""What a batch did, for whoever asked for it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingestion.log.port import Window
from ingestion.telemetry.producers import Producers


@dataclass(frozen=True)
class BatchReport:
    """What a batch did.

    Attributes:
        stream: The stream's name.
        batch_id: Its number within the stream, or None when there was nothing to do.
        load_id: dlt's load id; None when there was nothing to do.
        windows: Partition → positions that are now in the lake.
        events_read: Landed plus rejected.
        events_landed: Rows added to raw.<stream>.
        events_rejected: Rows added to raw.rejects.
        bytes_read: Of the values.
        unread: Partition → positions left unread after this batch, as of when it was planned.
        stalls: How often a connection that brought nothing was replaced while reading.
        seconds: Step → wall time.
        notes: What of the stream does not go on although the rest does, as sentences.
        newest_batch_id: Number of the stream's newest batch in the lake, this one or an earlier; 0: none.
        producers: Whose events it holds; only where traces are on.
    """

    stream: str
    batch_id: int | None = None
    load_id: str | None = None
    windows: Mapping[str, Window] = field(default_factory=dict)
    events_read: int = 0
    events_landed: int = 0
    events_rejected: int = 0
    bytes_read: int = 0
    unread: Mapping[str, Window] = field(default_factory=dict)
    stalls: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    newest_batch_id: int = 0
    producers: Producers = field(default_factory=Producers)

    @property
    def lag_events(self) -> int:
        """How many positions it left unread."""
        return sum(window.end - window.start for window in self.unread.values())


class Laps:
    """Wall time of each step, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def mark(self, step: str) -> None:
        """End a step: its time is what has passed since the step before."""
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 4)
        self._last = now
