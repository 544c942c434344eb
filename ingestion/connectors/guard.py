"""Whatever a connector raises is its stream's: one sentence, and no other stream's failure.

A connector is code of a library's, or of somebody else's: what it may raise is not known. Behind this
boundary a log raises MillraceError alone. Listeners: collect/guard.py.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import structlog

from ingestion.connectors.secrets import without_secrets
from ingestion.errors import MillraceError, SourceUnavailable
from ingestion.log.port import Bounds, Break, Chunk, Log, Start, Window

_log = structlog.get_logger(__name__)


@contextmanager
def boundary(who: str, *, kind: str, secrets: Callable[[], tuple[str, ...]] = tuple) -> Iterator[None]:
    """Unexpected exceptions of a connector → SourceUnavailable.

    Args:
        who: Whose failure it is, as the beginning of a sentence.
        kind: The connector's.
        secrets: Gives the texts that no sentence may show.

    Raises:
        SourceUnavailable: In place of whatever is not a MillraceError.
    """
    try:
        yield
    except MillraceError:
        raise
    except Exception as error:
        what = without_secrets(" ".join(str(error).split())[:300], secrets())
        # Frames hold lines of code and no values, so no secret.
        trace = "".join(traceback.format_tb(error.__traceback__)[-6:])
        _log.debug("a connector failed unexpectedly", kind=kind, error=type(error).__name__, trace=trace)
        reason = f"{type(error).__name__}: {what}" if what else type(error).__name__
        raise SourceUnavailable(
            f"{who}the connector '{kind}' failed unexpectedly ({reason}); it is tried again by itself, "
            "please report it if it repeats"
        ) from None


class GuardedLog:
    """A stream's log that is opened with the first call and raises MillraceError alone (log/port.py).

    Args:
        stream: The stream's name.
        kind: Its kind.
        open_log: Opens the log.
        secrets: Gives the texts that no sentence may show.
    """

    def __init__(
        self, stream: str, *, kind: str, open_log: Callable[[], Log], secrets: Callable[[], tuple[str, ...]]
    ) -> None:
        self._who, self._kind = f"stream '{stream}': ", kind
        self._open, self._secrets = open_log, secrets
        self._opened: Log | None = None

    @property
    def stalls(self) -> int:
        """How often a connection was replaced."""
        return self._opened.stalls if self._opened is not None else 0

    @property
    def keeps_until_confirmed(self) -> bool:
        """Whether it deletes nothing before `confirm`."""
        with self._guarded():
            return self._log.keeps_until_confirmed

    def bounds(self) -> dict[str, Bounds]:
        """Partition → what it holds now."""
        with self._guarded():
            return self._log.bounds()

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        """Which partitions are not the log that once had some ends."""
        with self._guarded():
            return self._log.diverged(proofs)

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        """A hint that it may hold other events than `known`."""
        with self._guarded():
            return self._log.has_moved(known)

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        """Where partitions without a position begin."""
        with self._guarded():
            return self._log.start_positions(start, partitions)

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        """Yield the windows' events."""
        with self._guarded():
            yield from self._log.read(windows)

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        """When the first event of each window came."""
        with self._guarded():
            return self._log.first_times(windows)

    def confirm(self, positions: Mapping[str, int]) -> None:
        """Report what is in the lake."""
        with self._guarded():
            self._log.confirm(positions)

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        """What is wrong with a partition and what to do about it."""
        with self._guarded():
            return self._log.explain(broken, position=position, bounds=bounds)

    def close(self) -> None:
        """Close it; what cannot be closed is forgotten."""
        opened, self._opened = self._opened, None
        try:
            if opened is not None:
                with self._guarded():
                    opened.close()
        except MillraceError as error:
            _log.warning(str(error))

    @property
    def _log(self) -> Log:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _guarded(self) -> AbstractContextManager[None]:
        return boundary(self._who, kind=self._kind, secrets=self._secrets)
