"""Streams that do not get on although nothing fails: no event comes in, or most of them cannot be decoded."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ingestion.declare.stream import Stream
from ingestion.watch.lag import StreamLag
from orchestration.conditions.condition import Finding

STALLED_SECONDS = 300.0
FLOOD_SECONDS = 600.0
"""Over how long a stream's share of rejects is taken."""
_LEAST_EVENTS = 20
_FLOOD_SHARE = 0.5  # of a stream that declares no max_reject_share


class Standstill:
    """Compares each stream's position with its log's end, from look to look."""

    def __init__(self) -> None:
        self._stands: dict[str, tuple[int, float]] = {}

    def look(self, lags: Iterable[StreamLag], *, paused: Collection[str], now_s: float) -> Iterator[Finding]:
        """The streams whose position stays although events are unread.

        Args:
            lags: What is unread of each.
            paused: Streams that failed; these say why themselves.
            now_s: Seconds from a clock that never goes back.
        """
        stands: dict[str, tuple[int, float]] = {}
        for lag in lags:
            if lag.error or not lag.events or lag.stream in paused:
                continue
            position, since = self._stands.get(lag.stream, (lag.position, now_s))
            stands[lag.stream] = (lag.position, since if position == lag.position else now_s)
            if now_s - stands[lag.stream][1] > STALLED_SECONDS:
                yield Finding(
                    "stream_stalled", lag.stream,
                    f"Stream '{lag.stream}' has {lag.events:,} unread events and has brought none into the "
                    f"lake for more than {STALLED_SECONDS / 60:.0f} min",
                    "Its runs in the web UI show what they do instead; 'millrace ingest' tries one batch.",
                )  # fmt: skip
        self._stands = stands


def floods(streams: Sequence[Stream], counts: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    """The streams of which too much was rejected lately.

    Args:
        streams: The declared streams.
        counts: Stream → how many events its newest batches read, and how many of them they rejected.
    """
    for stream in streams:
        read, rejected = counts.get(stream.name, (0, 0))
        limit = _FLOOD_SHARE if stream.max_reject_share is None else stream.max_reject_share
        if read >= _LEAST_EVENTS and rejected > limit * read:
            yield Finding(
                "rejects_flood", stream.name,
                f"{rejected:,} of the {read:,} events that stream '{stream.name}' brought in the last "
                f"{FLOOD_SECONDS / 60:.0f} min cannot be decoded",
                f"'millrace rejects list {stream.name}' shows them; what a decoder got wrong can be tried "
                "again, and max_reject_share stops a stream instead.",
            )  # fmt: skip
