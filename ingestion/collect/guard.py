"""A listener that raises nothing: what fails unexpectedly is opened again, ever later, and says so meanwhile.

What a connector may raise is not known (connectors/guard.py). What its collector has stored stays; of what it
has not, it drops what a sender will send again, and keeps the rest (connectors/intake.py, NOBODY).
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import structlog

from ingestion.connectors.guard import boundary
from ingestion.connectors.intake import Intake, Receipt
from ingestion.connectors.listener import Listener, ListenerStatus
from ingestion.errors import SourceUnavailable

_REST_SECONDS = (0.5, 15.0)
_STABLE_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class GuardedListener:
    """A listener (connectors/listener.py), opened again after each unexpected failure.

    Args:
        open_listener: Opens it.
        intake: Takes what it receives.
        kind: The connector's.
        secrets: Texts that no sentence may show.

    Attributes:
        latest: The listener that was opened last.

    Raises:
        MillraceError: As its connector's open_listener does.
    """

    def __init__(
        self,
        open_listener: Callable[[], Listener],
        *,
        intake: Intake,
        kind: str,
        secrets: Callable[[], tuple[str, ...]],
    ) -> None:
        self._open, self._intake, self._kind, self._secrets = open_listener, intake, kind, secrets
        self._error = ""
        self._failures = 0
        self._opened_at = self._again_at = time.monotonic()
        self.latest = open_listener()
        self._rests = False

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        """Hand over what is there; while it rests, only wait."""
        if self._rests:
            self._rest(timeout_seconds)
        else:
            self._try(lambda listener: listener.pump(timeout_seconds, more=more))

    def acknowledge(self, receipts: Iterable[Receipt]) -> None:
        """Acknowledge what is durable; what a failed listener took is sent again."""
        self._try(lambda listener: listener.acknowledge(receipts))

    def status(self) -> ListenerStatus:
        """How it is now."""
        found = self._try(lambda listener: listener.status())
        if isinstance(found, ListenerStatus):
            return found
        return ListenerStatus(self._kind, connected=False, ready=False, error=self._error)

    def close(self) -> None:
        """Leave."""
        self._try(lambda listener: listener.close())

    def _rest(self, timeout_seconds: float) -> None:
        left = self._again_at - time.monotonic()
        if left > 0:
            time.sleep(min(left, timeout_seconds))
            return
        try:
            with boundary("", kind=self._kind, secrets=self._secrets):
                self.latest = self._open()
        except SourceUnavailable as error:
            self._note(str(error))
        else:
            self._opened_at, self._rests, self._error = time.monotonic(), False, ""

    def _try(self, call: Callable[[Listener], Any]) -> Any:
        if self._rests:
            return None
        try:
            with boundary("", kind=self._kind, secrets=self._secrets):
                return call(self.latest)
        except SourceUnavailable as error:
            self._rests = True
            self._intake.revise(lambda _receipt: None)  # its receipts mean nothing to the next one
            with suppress(Exception):
                self.latest.close()
            self._note(str(error))
            return None

    def _note(self, error: str) -> None:
        now = time.monotonic()
        self._failures = 1 if now - self._opened_at >= _STABLE_SECONDS else self._failures + 1
        first, longest = _REST_SECONDS
        self._again_at = now + min(first * 2.0 ** min(self._failures - 1, 30), longest)
        if error != self._error:
            _log.warning(error)
        self._error = error
