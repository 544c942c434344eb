"""Declared streams whose fields are a schema's that nobody gives now: asked for again until it comes.

They are left out until then. The asking has a thread of its own: a registry that hangs stops nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from ingestion.declare.file import Waiting, read_declared
from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.conditions.condition import Finding
from orchestration.observe.worker import Worker

_PAUSE_SECONDS = 5.0
_STOP_SECONDS = 1.0
_REMEDY = "The other streams go on; it comes in by itself as soon as the registry answers."


class Awaited:
    """The streams of a system that wait.

    Args:
        settings: Where the streams are declared.
        waiting: Those that wait now.

    Attributes:
        has_come: One of them can be used: streams.yml is to be read again.
    """

    def __init__(self, settings: Settings, waiting: Sequence[Waiting]) -> None:
        self._settings = settings
        self._waiting, self.has_come = tuple(waiting), False
        self._worker = Worker("schemas", self.ask, pause_s=lambda: _PAUSE_SECONDS, patience_s=_STOP_SECONDS)

    def start(self) -> None:
        """Begin to ask."""
        self._worker.start()

    def stop(self) -> None:
        """End."""
        self._worker.stop()

    def note(self, waiting: Sequence[Waiting]) -> None:
        """Take in what waits since streams.yml was read again."""
        self._waiting, self.has_come = tuple(waiting), False

    def ask(self) -> None:
        """Look whether one of them can be used now."""
        before = self._waiting
        if not before or self.has_come:
            return
        with suppress(MillraceError):  # a mistake in the file: who reads it says so
            still = {each.name: each for each in read_declared(self._settings).waiting}
            if self._waiting is before:  # else the file was read again meanwhile
                self._waiting = tuple(still.get(each.name, each) for each in before)
                self.has_come = any(each.name not in still for each in before)

    def findings(self) -> Iterator[Finding]:
        """What waits, and why."""
        for each in self._waiting:
            yield Finding("stream_waiting", each.name, each.sentence, _REMEDY)
