"""A connection over which no event comes, although the log has more, is replaced once."""

from collections.abc import Callable, Iterator, Mapping

import structlog

from ingestion.errors import SourceStalled
from ingestion.log.port import Chunk, Window

Read = Callable[[Mapping[str, Window]], Iterator[Chunk]]
_log = structlog.get_logger(__name__)


def read_over(read: Read, windows: Mapping[str, Window], *, replace: Callable[[], None]) -> Iterator[Chunk]:
    """Yield the windows' events; after the first stall what is left, over a new connection.

    Args:
        read: Yields the events of windows, and raises SourceStalled when none comes.
        windows: What to read.
        replace: Gives up the connection, so that `read` makes another.

    Raises:
        SourceStalled: No event came over the second connection either.
    """
    left = dict(windows)
    try:
        for chunk in read(windows):
            yield chunk
            for name, position in chunk.positions.items():
                left[name] = Window(position, left[name].end)
    except SourceStalled as stall:
        _log.warning(f"{stall}; a new connection is tried")
        replace()
        yield from read({name: window for name, window in left.items() if window.start < window.end})
