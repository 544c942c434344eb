"""Sources that do not answer: when each is asked again, so that none holds up the look at the others.

A stream that fails rests by itself. One that used up its time may have a broker that is away, and then each
other stream would cost as much: when a second one fails so, and none was answered in between, all rest.
"""

from dataclasses import dataclass

from ingestion.declare.stream import Stream

_REST_SECONDS = (0.5, 8.0)
"""The first and the longest rest. A source that is back is noticed after the longest at the latest."""


@dataclass(frozen=True)
class _Rest:
    why: str
    stream: str
    seconds: float
    until: float

    def of(self, stream: str) -> str:
        """The same sentence for another stream of that broker."""
        mine, other = f"stream '{self.stream}': ", f"stream '{stream}': "
        return other + self.why.removeprefix(mine) if self.why.startswith(mine) else self.why


class Away:
    """What failed when it was asked last.

    Args:
        slow_seconds: Whoever takes as long as this to fail was not refused: the broker let it wait.
    """

    def __init__(self, *, slow_seconds: float) -> None:
        self._slow = slow_seconds
        self._streams: dict[str, _Rest] = {}
        self._kinds: dict[str, _Rest] = {}
        self._silent: dict[str, str] = {}

    def reason(self, stream: Stream, *, now: float) -> str:
        """Why a stream is not asked now; empty when it is to be asked.

        Args:
            stream: The stream.
            now: Seconds from a clock that never goes back.
        """
        for rest in (self._streams.get(stream.name), self._kinds.get(stream.kind)):
            if rest is not None and now < rest.until:
                return rest.of(stream.name)
        return ""

    def answered(self, stream: Stream) -> None:
        """Note that a stream's source has answered: its broker is there."""
        self._streams.pop(stream.name, None)
        self._kinds.pop(stream.kind, None)
        self._silent.pop(stream.kind, None)

    def failed(self, stream: Stream, why: str, *, seconds: float, now: float) -> None:
        """Note that a stream's source has failed.

        Args:
            stream: The stream.
            why: As a sentence.
            seconds: How long it took.
            now: Seconds from a clock that never goes back.
        """
        self._streams[stream.name] = _rest(self._streams.get(stream.name), why, stream.name, now)
        if seconds < self._slow:
            return
        if self._silent.setdefault(stream.kind, stream.name) != stream.name or stream.kind in self._kinds:
            self._kinds[stream.kind] = _rest(self._kinds.get(stream.kind), why, stream.name, now)


def _rest(before: _Rest | None, why: str, stream: str, now: float) -> _Rest:
    first, longest = _REST_SECONDS
    seconds = first if before is None else min(2 * before.seconds, longest)
    return _Rest(why, stream, seconds, now + seconds)
