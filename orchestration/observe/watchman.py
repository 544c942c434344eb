"""Keeps the journal of a running system, and says what is to be posted of it. For use by several threads."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ingestion.errors import StorageError
from orchestration.conditions.condition import Condition, Finding
from orchestration.conditions.journal import Journal
from orchestration.conditions.kinds import KINDS


@dataclass(frozen=True)
class Alert:
    """That a condition opened, or that it closed.

    Attributes:
        condition: As it is now.
        opening: Whether it is about its opening.
        open_count: How many conditions are open now.
    """

    condition: Condition
    opening: bool
    open_count: int


class Watchman:
    """One a running system.

    Args:
        data_dir: Its data folder.
        posts: Whether there is somebody to post to.
    """

    def __init__(self, data_dir: Path, *, posts: bool) -> None:
        self._journal = Journal(data_dir)
        self._posts = posts
        self._lock = threading.Lock()
        # Open when the process before this one ended. The time until now is not a time it was seen to last.
        self._inherited = {each.number for each in self._journal.open()}

    def note(self, findings: Iterable[Finding], *, unknown: Iterable[str] = (), now: datetime) -> None:
        """Take in everything that is wrong now (Journal.note).

        Raises:
            StorageError: The journal cannot be written; the list in memory is right all the same.
        """
        with self._lock:
            found = tuple(findings)
            keys = {each.key for each in found}
            self._inherited -= {each.number for each in self._journal.open() if each.finding.key in keys}
            self._journal.note(found, unknown=unknown, now=now)
            if not self._posts:  # nobody is owed what ended before there was somebody to post to
                self._journal.settle(each for each in self._journal.owed() if not each.alerted)

    @property
    def given_up(self) -> int:
        """How many alerts were dropped undelivered because there were too many."""
        return self._journal.given_up

    def open(self) -> tuple[Condition, ...]:
        """The open conditions, the most important first."""
        with self._lock:
            return tuple(self._journal.open())

    def due(self, *, now: datetime) -> Alert | None:
        """The oldest alert that has to be posted now; conditions that were too short for one are settled.

        Args:
            now: UTC.

        Raises:
            StorageError: The journal cannot be written.
        """
        with self._lock:
            open_count = len(self._journal.open())
            for condition in list(self._journal.conditions.values()):
                if condition.settled or not KINDS[condition.finding.name].alerted:
                    continue
                if condition.alerted:
                    if condition.closed is not None:
                        return Alert(condition, opening=False, open_count=open_count)
                elif self._posts and self._is_due(condition, now=now):
                    if not condition.lasted:
                        with suppress(StorageError):  # a full disk holds up no alert
                            self._journal.lasted(condition)
                    return Alert(condition, opening=True, open_count=open_count)
                elif condition.closed is not None:
                    self._journal.settle([condition])
            return None

    def posted(self, alert: Alert) -> None:
        """Note that an alert has reached somebody.

        Raises:
            StorageError: The journal cannot be written.
        """
        with self._lock:
            if alert.opening:
                self._journal.alerted(alert.condition)
            else:
                self._journal.settle([alert.condition])

    def _is_due(self, condition: Condition, *, now: datetime) -> bool:
        """Whether it has lasted long enough for an alert."""
        patience = timedelta(seconds=KINDS[condition.finding.name].patience_seconds)
        if condition.lasted or not patience:
            return True
        lasted = (condition.closed or now) - condition.opened
        is_seen = condition.number not in self._inherited
        return is_seen and not timedelta(0) <= lasted < patience  # the clock may be set back
