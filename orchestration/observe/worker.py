"""A thread that does something again and again until it is stopped; what hangs ends with the process."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Worker:
    """One thread.

    Args:
        name: Of the thread.
        turn: What it does; an exception ends this turn and no other.
        pause_s: Seconds until the next turn, asked after each.
        patience_s: How long `stop` waits for a turn that is under way.
        at_end: Called on the thread after the last turn.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], None],
        *,
        pause_s: Callable[[], float],
        patience_s: float,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._turn, self._pause_s, self._patience_s, self._at_end = turn, pause_s, patience_s, at_end
        self._stop, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Take the next turn now."""
        self._woken.set()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._patience_s)

    def _run(self) -> None:
        while not self.stopping:
            try:
                self._turn()
            except Exception as error:  # a thread that ended would do nothing, and nobody would notice
                # Only the kind: what the text of an unknown error holds may be secret.
                _log.warning("A turn of the %s failed: %s", self._thread.name, type(error).__name__)
            self._woken.wait(self._pause_s())
            self._woken.clear()
        self._at_end()
