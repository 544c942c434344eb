"""How a receiver of traces or lineage answers, and how many seconds a process that ends waits for it."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_AT_END_SECONDS = 5.0
_HANGS_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_log = logging.getLogger(__name__)


@dataclass
class Answer:
    """Whether something that was sent is taken."""

    taken: bool = False


class Receiver:
    """One receiver, as the thread that sends and the one that ends see it.

    Args:
        what: It is sent, in the plural.
        variable: That names it.
    """

    def __init__(self, what: str, variable: str) -> None:
        self._what, self._variable = what, variable
        self._refuses = False
        self._asked_s: float | None = None

    @contextmanager
    def asked(self) -> Iterator[Answer]:
        """Ask it to take something; an exception counts as a refusal, of which the first is logged."""
        answer, self._asked_s = Answer(), time.monotonic()
        try:
            yield answer
        except Exception:  # of a library; its text may hold the address, with a login in it
            answer.taken = False
        finally:
            self._asked_s = None
            if not answer.taken and not self._refuses:
                _log.warning(
                    "What %s names does not take the %s: they are dropped, and nothing else waits for it",
                    self._variable,
                    self._what,
                )
            self._refuses = not answer.taken

    def wait_for(self, sender: threading.Thread) -> None:
        """Let a thread send the rest, as long as the receiver takes one thing after the other.

        Args:
            sender: Ends by itself when everything is sent; a daemon, so that it may be left.
        """
        end = time.monotonic() + _AT_END_SECONDS
        while sender.is_alive() and time.monotonic() < end and not self._refuses and not self._hangs():
            sender.join(_LOOK_SECONDS)

    def _hangs(self) -> bool:
        asked = self._asked_s
        return asked is not None and time.monotonic() - asked > _HANGS_SECONDS
