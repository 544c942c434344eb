"""How far behind each stream is, in events and seconds, without consuming anything.

The log knows its end, the ledger the lake's position; the difference is the lag.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError, SourceMissing
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import StreamState, read_states
from ingestion.log.port import Bounds, Log, Window
from ingestion.log.positions import Position, is_another_log
from ingestion.log.standing import absent, stand
from ingestion.settings import Settings
from ingestion.watch.away import Away
from ingestion.watch.unread import Beginnings, OldestUnread

_ASK_SECONDS = 5.0
"""A drained log is asked what it holds this often; in between, only whether it has moved."""
_LEDGER_SECONDS = 60.0
"""How often an idle system re-reads the ledger: a batch may have been ingested from the command line."""


@dataclass(frozen=True)
class StreamLag:
    """One stream's lag.

    Attributes:
        stream: The stream's name.
        events: Positions in the log that are to be read and are not in the lake. Zero means: all is in.
        seconds: Age of the oldest unread event, by its own time stamp; 0 when all is in; None where it is not
            known, and where the meter does not ask for it.
        position: Sum of the partitions' positions, for display.
        partitions: How many partitions the log has.
        batch_id: Number of the newest batch in the lake; 0: none.
        never_read: The log has partitions of which the lake knows nothing yet.
        replaced: A partition is gone or another log than the lake knows, perhaps an empty one.
        truncated: A partition begins after the lake's position: events were deleted unread.
        unfinished: The ledger has to note something that is not an event: a partition to retire, or that the
            stream was declared.
        notes: What of the stream does not go on although the rest does, as sentences.
        error: Why the lag is unknown, as a sentence; empty when it is known.
    """

    stream: str
    events: int = 0
    seconds: float | None = None
    position: int = 0
    partitions: int = 0
    batch_id: int = 0
    never_read: bool = False
    replaced: bool = False
    truncated: bool = False
    unfinished: bool = False
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def has_work(self) -> bool:
        """Whether a batch would find something to do (a broken stream would find its error)."""
        return self.events > 0 or self.never_read or self.replaced or self.truncated or self.unfinished


class LagMeter:
    """Measures lag over kept connections, for a process that asks again and again.

    Args:
        settings: Addresses and credentials.
        lake: A lake to read the ledger from.
        timeout_seconds: Bound of each broker call.
        clock: Returns the present, UTC.
        ages: Whether it asks for the age of the oldest unread event; who only waits for work does without.
    """

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        *,
        timeout_seconds: float,
        clock: Callable[[], datetime],
        ages: bool = False,
    ) -> None:
        self._settings = settings
        self._lake = lake
        self._timeout = timeout_seconds
        self._oldest = OldestUnread(clock) if ages else None
        self._begins = Beginnings()
        self._logs: dict[str, Log] = {}
        self._snapshot = -1
        self._known: dict[str, StreamState] = {}
        self._drained: dict[str, dict[str, Bounds] | str] | None = None
        self._ledger_at = 0.0
        self._asked_at: dict[str, float] = {}
        self._missing = set[str]()
        self._away = Away(slow_seconds=timeout_seconds / 2)
        self._lags: list[StreamLag] = []

    def measure(self, streams: Iterable[Stream]) -> list[StreamLag]:
        """One StreamLag a stream. A broker that is away gives an error there, not an exception.

        Raises:
            CatalogUnavailable: The catalog does not answer.
            StorageError: The lake cannot be read for another reason.
        """
        streams = list(streams)
        logs = {stream.name: self._bounds(stream) for stream in streams}
        # What may be skipped: positions only advance, so a log without work that holds what it held before
        # has none now. An idle system asks several times a second, so it asks only the brokers, and those
        # mostly for a hint.
        now = time.monotonic()
        if logs != self._drained or now >= self._ledger_at + _LEDGER_SECONDS:
            self._read_positions()
            self._ledger_at = now
            self._lags = [self._measure(stream, logs[stream.name]) for stream in streams]
            self._drained = None if any(lag.has_work for lag in self._lags) else logs
        return list(self._lags)

    def _read_positions(self) -> None:
        try:
            snapshot = self._lake.snapshot_id()
            if snapshot != self._snapshot:
                self._known, self._snapshot = read_states(self._lake), snapshot
        except duckdb.Error as error:
            raise self._lake.explain(error) from None

    def _bounds(self, stream: Stream) -> dict[str, Bounds] | str:
        """What the log holds, or why that is unknown."""
        now = time.monotonic()
        resting = self._away.reason(stream, now=now)
        if resting:
            return resting
        known = (self._drained or {}).get(stream.name)
        try:
            log = self._logs.get(stream.name)
            if log is None:
                log = open_log(stream, self._settings, timeout_seconds=self._timeout)
                self._logs[stream.name] = log
            elif (
                isinstance(known, dict)
                and now < self._asked_at[stream.name] + _ASK_SECONDS
                and not log.has_moved(known)
            ):
                return known
            found = log.bounds()
        except MillraceError as error:
            return self._failed(stream, error, began=now)
        self._away.answered(stream)
        self._missing.discard(stream.name)
        self._asked_at[stream.name] = now
        return found

    def _failed(self, stream: Stream, error: MillraceError, *, began: float) -> str:
        """Let the stream rest; returns why."""
        if isinstance(error, SourceMissing):
            self._missing.add(stream.name)
        self._forget(stream.name)
        now = time.monotonic()
        self._away.failed(stream, str(error), seconds=now - began, now=now)
        return str(error)

    def _measure(self, stream: Stream, bounds: dict[str, Bounds] | str) -> StreamLag:
        name, state = stream.name, self._known.get(stream.name, StreamState(0, {}))
        began = time.monotonic()
        known = state.positions
        is_undeclared = not known and stream.source.start == "latest"
        if isinstance(bounds, str):
            return StreamLag(name, error=bounds, unfinished=is_undeclared and name in self._missing)
        try:
            log = self._logs[name]
            unread = self._unread(stream, bounds, known)
            seconds = (
                self._oldest.seconds(name, log, unread, bounds, tolerance=stream.clock_tolerance)
                if self._oldest
                else None
            )
        except MillraceError as error:
            return StreamLag(name, error=self._failed(stream, error, began=began))
        standing = stand(known, bounds, covers=stream.source.covers, is_kept=log.keeps_until_confirmed)
        return StreamLag(
            name,
            events=sum(window.end - window.start for window in unread.values()),
            seconds=seconds,
            position=sum(position.next for position in known.values()),
            partitions=len(bounds),
            batch_id=state.last_batch_id,
            never_read=any(part not in known for part in bounds),
            replaced=not standing.read.keys() <= bounds.keys()
            or any(
                is_another_log(known[part], each, keeps_until_confirmed=log.keeps_until_confirmed)
                for part, each in bounds.items()
                if part in known
            ),
            truncated=any(known[part].next < each.begin for part, each in bounds.items() if part in known),
            unfinished=bool(standing.retire) or (is_undeclared and not bounds),
            notes=(*standing.sentences(name, known), *absent(name, stream.source.absent(bounds))),
        )

    def _unread(
        self, stream: Stream, bounds: Mapping[str, Bounds], known: Mapping[str, Position]
    ) -> dict[str, Window]:
        """What the next batches are to read of each partition; those of which all is in are left out."""
        new = {part: each for part, each in bounds.items() if part not in known}
        begins = {part: known[part].next for part in bounds.keys() & known.keys()}
        begins |= self._begins.of(stream, self._logs[stream.name], new, is_first=not known)
        windows = {}
        for part, each in bounds.items():
            start = max(begins[part], each.begin)
            if start < each.end:
                windows[part] = Window(start, each.end)
        return windows

    def _forget(self, stream: str) -> None:
        log = self._logs.pop(stream, None)
        if log is not None:
            log.close()

    def close(self) -> None:
        """Close the broker connections; the lake stays its owner's."""
        for stream in list(self._logs):
            self._forget(stream)
