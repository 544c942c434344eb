"""Keeps several services running: starts them in order, restarts the ones that died, stops them in reverse.

It has no thread and no clock of its own: the caller's main loop calls `check` about once a second.
What a service does is in its own file; how a process ends is in process.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ingestion.errors import MillraceError
from orchestration.services.process import Service, ServiceError

BACKOFF_FIRST_S = 1.0
BACKOFF_LIMIT_S = 60.0
STABLE_AFTER_S = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One row of the status table.

    Attributes:
        name: The service's name.
        pid: Its process id, or None when it does not run.
        restarts: How often it was started again since the supervisor started.
        last_error: Why the last start failed; None after one that worked, or once it has run for long.
    """

    name: str
    pid: int | None
    restarts: int = 0
    last_error: str | None = None

    @property
    def running(self) -> bool:
        """Whether the service has a living process."""
        return self.pid is not None


@dataclass(frozen=True, slots=True)
class _History:
    restarts: int = 0
    deaths_in_a_row: int = 0
    retry_at_s: float | None = None
    started_at_s: float | None = None
    last_error: str | None = None


class Supervisor:
    """Holds services in the order in which they need each other.

    Args:
        services: In that order.
        tried: Called after `check` has tried to start one of them, which may have taken its time.
    """

    def __init__(self, services: Sequence[Service], *, tried: Callable[[], None] = lambda: None) -> None:
        self._services = tuple(services)
        self._tried = tried
        self._histories = {service.name: _History() for service in self._services}
        if len(self._histories) != len(self._services):
            raise ValueError("Two services have the same name: give each its own.")

    def start(self) -> None:
        """Start all of them in order; when one fails, stop those before it and raise its ServiceError."""
        try:
            for service in self._services:
                service.start()
        except BaseException:
            self.stop()
            raise

    def check(self, now_s: float) -> tuple[ServiceState, ...]:
        """Restart what died, the first time after one second, then ever later, up to once a minute.

        Args:
            now_s: The present time in seconds, from a clock that never goes back.

        Returns:
            The status table, as `alive` does.
        """
        for service in self._services:
            history = self._histories[service.name]
            if service.is_running():
                self._histories[service.name] = _grown_stable(history, now_s)
            else:
                self._histories[service.name] = _brought_back(service, history, now_s)
                self._tried()
        return self.alive()

    def alive(self) -> tuple[ServiceState, ...]:
        """The status table, one row for each service in starting order."""
        return tuple(
            ServiceState(
                service.name,
                service.pid,
                restarts=self._histories[service.name].restarts,
                last_error=self._histories[service.name].last_error,
            )
            for service in self._services
        )

    def pid_of(self, name: str) -> int | None:
        """A service's process id now; None when it does not run, or there is no such service."""
        return next((service.pid for service in self._services if service.name == name), None)

    def stop(self) -> None:
        """Stop all of them in reverse order, whatever fails; then raise the first failure."""
        failure: Exception | None = None
        for service in reversed(self._services):
            try:
                service.stop()
            except Exception as error:
                _log.warning("Stopping %s failed: %s", service.name, error)
                failure = failure or error
        if failure is not None:
            raise failure


def _why(service: Service, error: Exception) -> str:
    if isinstance(error, ServiceError | MillraceError):
        return str(error)
    _log.info("Starting %s failed.", service.name, exc_info=error)
    what = " ".join(str(error).split()) or type(error).__name__
    return f"{service.name} was not started ({what}); Millrace tries again; remove the cause or see its log."


def _grown_stable(history: _History, now_s: float) -> _History:
    if history.started_at_s is None:
        return replace(history, started_at_s=now_s)
    if history.deaths_in_a_row and now_s - history.started_at_s >= STABLE_AFTER_S:
        return replace(history, deaths_in_a_row=0, last_error=None)
    return history


def _brought_back(service: Service, history: _History, now_s: float) -> _History:
    if history.retry_at_s is None:
        wait_s = min(BACKOFF_FIRST_S * 2.0**history.deaths_in_a_row, BACKOFF_LIMIT_S)
        _log.warning("%s ended by itself; next start in %g s.", service.name, wait_s)
        deaths = history.deaths_in_a_row + 1
        return replace(history, deaths_in_a_row=deaths, retry_at_s=now_s + wait_s, started_at_s=None)
    if now_s < history.retry_at_s:
        return history
    try:
        service.start()
    except Exception as error:  # whatever it is, the other services must go on
        return replace(history, retry_at_s=None, last_error=_why(service, error))
    return replace(
        history, restarts=history.restarts + 1, retry_at_s=None, started_at_s=now_s, last_error=None
    )
