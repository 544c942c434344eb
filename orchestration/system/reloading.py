"""Puts edited files into use while the system runs: once they no longer change, again until it works.

What has to be done for that is in running.py; what counts as a change is in fingerprint.py.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingestion.errors import ConfigError, MillraceError
from orchestration.fingerprint import fingerprint
from orchestration.services.process import ServiceError

_RETRY_SECONDS = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Files:
    declared: str
    code: str


class Reloading:
    """Knows which state of the files is in use: at first the state at construction.

    Args:
        streams_file: What `prepare` reads.
        code: Files and folders that only processes read which `renew` starts; `prepare` may write there.
        prepare: Reads the declared streams and makes what they need. Any exception means that it failed.
        renew: Replaces the processes that read the files. Any exception means that it failed.
        again: Whether `prepare` would find more now, although the files are as they were.

    Attributes:
        complaint: Why the files as they are now are not in use, as a sentence; empty when they are.
        refused: Whether that is because of what stands in them.
    """

    def __init__(
        self,
        streams_file: Path,
        code: Sequence[Path],
        *,
        prepare: Callable[[], None],
        renew: Callable[[], None],
        again: Callable[[], bool] = lambda: False,
    ) -> None:
        self.complaint = ""
        self.refused = False
        self._streams_file, self._code = streams_file, tuple(code)
        self._prepare, self._renew, self._again = prepare, renew, again
        self._seen = self._files()
        self._loaded: _Files | None = None
        self._tried: _Files | None = None
        self._retry_at_s = 0.0

    def begin(self) -> None:
        """Note that the caller has prepared everything and starts the processes now."""
        self._loaded = self._seen = _Files(self._seen.declared, fingerprint(self._code))

    def look(self, now_s: float) -> None:
        """Put changed files into use if they were the same at the last look; raises nothing.

        Args:
            now_s: Seconds from a clock that never goes back.
        """
        try:
            now = self._files()
            settled, self._seen = now == self._seen, now
            if not settled or (now == self._tried and now_s < self._retry_at_s):
                return
            if now != self._loaded or self._again():
                self._tried, self._retry_at_s = now, now_s + _RETRY_SECONDS
                self._use(now)
            self.complaint = ""
        except Exception as error:  # an edit must not end what runs
            self.complaint, self.refused = _sentence(error), isinstance(error, ConfigError)

    def _use(self, now: _Files) -> None:
        self._loaded = None  # if it fails half-way, neither state is in use
        self._prepare()
        # Edits since the look: streams.yml is read at a later look, code is loaded by the new processes.
        ready = _Files(now.declared, fingerprint(self._code))
        self._renew()
        self._loaded = self._seen = ready
        self._tried = None

    def _files(self) -> _Files:
        return _Files(fingerprint([self._streams_file]), fingerprint(self._code))


def _sentence(error: Exception) -> str:
    if isinstance(error, MillraceError | ServiceError):
        return str(error)
    _log.info("Taking edited files in failed.", exc_info=error)
    what = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"the edited files are not in use yet ({what}); Millrace tries again; 'millrace doctor' shows more"
