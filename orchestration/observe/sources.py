"""Whether brokers answer, asked from here while the sensor that usually knows it does not look.

What the sensor finds comes through conditions/reports.py. When the daemon, the code server or the catalog is
away, that would stay as it was for ever.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.settings import Settings
from ingestion.watch.away import Away
from orchestration.conditions.condition import Finding
from orchestration.conditions.pulse import feel
from orchestration.keys import ARRIVALS_SENSOR

STALE_SECONDS = 60.0
"""A sensor that has had no pulse for so long does not look."""
_LOOK_SECONDS = 15.0
_BROKER_SECONDS = 2.0


class Sources:
    """Looks in the sensor's place.

    Args:
        settings: Addresses and credentials.
        streams: The declared streams.
    """

    def __init__(self, settings: Settings, streams: Callable[[], Sequence[Stream]]) -> None:
        self._settings, self._streams = settings, streams
        self._away = Away(slow_seconds=_BROKER_SECONDS / 2)
        self._next_s = time.monotonic() + STALE_SECONDS  # the sensor of a new system has yet to begin
        self._found: list[Finding] = []

    def look(self) -> Iterator[Finding]:
        """The streams whose source does not answer; none while the sensor looks."""
        if not is_stale(self._settings):
            self._found = []
        elif time.monotonic() >= self._next_s:
            self._found = [finding for stream in self._streams() for finding in self._ask(stream)]
            self._next_s = time.monotonic() + _LOOK_SECONDS
        yield from self._found

    def _ask(self, stream: Stream) -> Iterator[Finding]:
        began = time.monotonic()
        why = self._away.reason(stream, now=began)
        if not why:
            try:
                with closing(open_log(stream, self._settings, timeout_seconds=_BROKER_SECONDS)) as log:
                    log.bounds()
                self._away.answered(stream)
            except MillraceError as error:
                why, now = str(error), time.monotonic()
                self._away.failed(stream, why, seconds=now - began, now=now)
        if why:
            yield unreachable(stream.name, why)


def is_stale(settings: Settings) -> bool:
    """Whether what the sensor reported about sources may no longer hold."""
    pulse = feel(settings.data_dir, ARRIVALS_SENSOR)
    return pulse is None or pulse.seconds > STALE_SECONDS


def unreachable(stream: str, why: str) -> Finding:
    """That a stream's source cannot be read."""
    return Finding("source_unreachable", stream, f"Stream '{stream}' cannot be read: {why}")
