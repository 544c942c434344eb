"""Keeps the journal of a running system, and hands over to reactions what has lasted long enough.

For use by several threads.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from ingestion.errors import StorageError
from ingestion.faultpoints import faultpoint
from orchestration.conditions.condition import Condition, Finding
from orchestration.conditions.journal import Journal
from orchestration.conditions.kinds import KINDS
from orchestration.reactions.alert import Event, notice
from orchestration.reactions.declared import Reaction
from orchestration.reactions.ledger import Ledger, Notice


class Watchman:
    """One a running system.

    Args:
        data_dir: Its data folder, named in every alert.
    """

    def __init__(self, data_dir: Path) -> None:
        self._system = str(data_dir)
        self._journal = Journal(data_dir)
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

    def open(self) -> tuple[Condition, ...]:
        """The open conditions, the most important first."""
        with self._lock:
            return tuple(self._journal.open())

    def hand_over(self, reactions: Sequence[Reaction], ledger: Ledger, *, now: datetime) -> None:
        """Note in the ledger what reactions are to hear of; conditions that were too short are settled.

        The ledger is written first: after a crash between the two it knows what the journal does not.

        Args:
            reactions: Those that are in use.
            ledger: The ledger.
            now: UTC.

        Raises:
            StorageError: A file cannot be written; reactions hear of it all the same.
        """
        with self._lock:
            notices: list[Notice] = []
            marks: list[Callable[[], None]] = []
            for condition in list(self._journal.conditions.values()):
                if not condition.settled:
                    self._judge(condition, reactions, notices, marks, now=now)
            if notices:
                ledger.note(notices)
            for mark in marks:
                mark()

    def _judge(
        self,
        condition: Condition,
        reactions: Sequence[Reaction],
        notices: list[Notice],
        marks: list[Callable[[], None]],
        *,
        now: datetime,
    ) -> None:
        """Add who is to hear what of a condition, and how the journal remembers that."""
        heard, fresh = condition.alerted_to, list[str]()
        # Nobody hears of what was over before the reaction was there.
        if (condition.closed is None or not heard) and self._is_due(condition, now=now):
            takers = (each.name for each in reactions if each.takes(condition.finding))
            fresh = [name for name in takers if name not in heard]
        if fresh:
            if not condition.lasted:
                with suppress(StorageError):  # a full disk holds up no alert
                    self._journal.lasted(condition)
            notices += [self._notice(condition, "opened", name, now) for name in fresh]
            marks.append(partial(self._alerted, condition, (*heard, *fresh)))
        if condition.closed is not None:
            hear = {*heard, *fresh}
            names = [each.name for each in reactions if each.name in hear and each.all_well]
            notices += [self._notice(condition, "closed", name, now) for name in names]
            marks.append(partial(self._settled, condition))

    def _alerted(self, condition: Condition, names: Sequence[str]) -> None:
        self._journal.alerted(condition, to=names)
        faultpoint("reactions.alerted")

    def _settled(self, condition: Condition) -> None:
        self._journal.settle([condition])
        faultpoint("reactions.settled")

    def _notice(self, condition: Condition, event: Event, reaction: str, now: datetime) -> Notice:
        return notice(
            condition, event, reaction, journal=self._journal.id, open_count=len(self._journal.open()),
            system=self._system, now=now,
        )  # fmt: skip

    def _is_due(self, condition: Condition, *, now: datetime) -> bool:
        """Whether it has lasted long enough for an alert."""
        patience = timedelta(seconds=KINDS[condition.finding.name].patience_seconds)
        if condition.lasted or not patience:
            return True
        lasted = (condition.closed or now) - condition.opened
        is_seen = condition.number not in self._inherited
        return is_seen and not timedelta(0) <= lasted < patience  # the clock may be set back
