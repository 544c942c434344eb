"""Ends processes that live and do not work, a bounded number of times: the supervisor starts them again.

What counts as stuck is in orchestration/observe. Pauses between starts are the supervisor's.
"""

import logging
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import psutil

from orchestration.conditions.condition import Finding

STUCK = "service_stuck"
_SEEN_SECONDS = 3.0  # a process that somebody halts for a moment is left alone
_PROVEN_SECONDS = 10.0
_MOST, _WITHIN_SECONDS = 5, 3600.0

_BY_HAND = "MILLRACE_RESTART_STUCK is off: end the process, and it is started again."

_log = logging.getLogger(__name__)


class Healing:
    """Knows what it has ended.

    Args:
        pid_of: Service → its process id now; None when it does not run.
        enabled: Whether anything is ended; else it is only said what one can do.
    """

    def __init__(self, pid_of: Callable[[str], int | None], *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._pid_of = pid_of
        self._since: dict[tuple[str, int], float] = {}
        self._ended: defaultdict[str, list[float]] = defaultdict(list)
        self._why: dict[str, str] = {}

    def heal(self, findings: Iterable[Finding], now_s: float) -> Iterator[Finding]:
        """End what has been stuck for a moment.

        Args:
            findings: What is found now; other kinds than STUCK are passed over.
            now_s: Seconds from a clock that never goes back.

        Yields:
            What was done, until the process that takes its place has lived for a while; it belongs in the
            place of the finding about the same process.
        """
        stuck = {each.subject: each.sentence for each in findings if each.name == STUCK}
        if not self._enabled:
            yield from (Finding(STUCK, name, sentence, _BY_HAND) for name, sentence in stuck.items())
            return
        living = {(name, pid) for name in stuck if (pid := self._pid_of(name)) is not None}
        self._since = {each: self._since.get(each, now_s) for each in living}
        for (name, pid), since in self._since.items():
            self._ended[name] = [at for at in self._ended[name] if now_s - at < _WITHIN_SECONDS]
            if now_s - since < _SEEN_SECONDS:
                continue
            if len(self._ended[name]) >= _MOST:
                yield Finding(
                    STUCK, name,
                    f"{stuck[name]}; it was ended {_MOST} times within an hour, so now it is left alone",
                    "Its log may say why; 'millrace down' and 'millrace up' start everything again.",
                )  # fmt: skip
                continue
            _end(pid)
            self._ended[name].append(now_s)
            self._why[name] = stuck[name]
            _log.warning("%s; it was ended and is started again.", stuck[name])
        for name, why in list(self._why.items()):
            if now_s - self._ended[name][-1] >= _PROVEN_SECONDS:
                del self._why[name]
                continue
            count = len(self._ended[name])
            yield Finding(
                STUCK, name,
                f"{why}; it was ended and is started again ({count} of at most {_MOST} times within an hour)",
                "There is nothing to do, unless it repeats.",
            )  # fmt: skip


def _end(pid: int) -> None:
    """Kill a process; its children, which end with it, must not be halted for that."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        process.kill()
        for child in children:
            with suppress(psutil.Error):
                child.send_signal(signal.SIGCONT)
