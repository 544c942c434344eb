"""Where unread events begin and how old the first is, asked of a log no more often than it can change.

How many there are is in lag.py.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from ingestion.declare.stream import Stream
from ingestion.errors import LogTruncated
from ingestion.log.plausible import believed
from ingestion.log.port import Bounds, Log, Window


class Beginnings:
    """Where partitions begin that the lake does not know yet."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], int] = {}

    def of(
        self, stream: Stream, log: Log, partitions: Mapping[str, Bounds], *, is_first: bool
    ) -> dict[str, int]:
        """Their first positions, as the stream's next batch will take them.

        Args:
            stream: The stream.
            log: Its log.
            partitions: The new ones, and what they hold.
            is_first: The lake holds nothing of the stream: then it begins where its declaration says.

        Raises:
            SourceUnavailable: The broker is away.
        """
        known = {part: self._found.get((stream.name, part, each.log_id)) for part, each in partitions.items()}
        asked = {part: each for part, each in partitions.items() if known[part] is None}
        start = stream.source.start if is_first else "earliest"
        found = log.start_positions(start, asked) if asked else {}
        for part, position in found.items():
            # With nothing since the wanted time, the beginning is the end, which moves.
            if isinstance(start, datetime) and position < asked[part].end:
                self._found[stream.name, part, asked[part].log_id] = position
        return {part: position for part, position in (known | found).items() if position is not None}


class OldestUnread:
    """The age of the oldest unread event.

    Args:
        clock: Returns the present, UTC.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._times: dict[str, dict[tuple[str, int, str], datetime | None]] = {}

    def seconds(
        self,
        stream: str,
        log: Log,
        unread: Mapping[str, Window],
        bounds: Mapping[str, Bounds],
        *,
        tolerance: timedelta,
    ) -> float | None:
        """Seconds since the oldest unread event's time stamp; 0 when there is none; None where it is unknown.

        Only the next event of each partition is looked at: later ones are taken to be younger. One with a
        time that is not plausible is as old as the first look at it.

        Args:
            stream: The stream's name.
            log: Its log.
            unread: What is unread of each partition.
            bounds: What each holds.
            tolerance: How far a clock may be ahead.

        Raises:
            SourceUnavailable: The broker is away.
        """
        now = self._clock()
        places = {part: (part, window.start, bounds[part].log_id) for part, window in unread.items()}
        known = self._times.get(stream, {})
        times = {part: known[place] for part, place in places.items() if place in known}
        asked = {part: window for part, window in unread.items() if part not in times}
        with suppress(LogTruncated):  # it was trimmed meanwhile: the next look sees that
            found = log.first_times(asked) if asked else {}
            times |= {
                part: moment and (believed(moment, received_at=now, tolerance=tolerance) or now)
                for part, moment in found.items()
            }
        self._times[stream] = {places[part]: moment for part, moment in times.items()}
        if not unread:
            return 0.0
        oldest = min((moment for moment in times.values() if moment is not None), default=None)
        return None if oldest is None else max(0.0, (now - oldest).total_seconds())
