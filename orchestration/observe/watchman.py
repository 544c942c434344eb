"""Keeps the journal of a running system, and hands over to reactions what has lasted long enough.

For use by several threads.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from ingestion.errors import StorageError
from ingestion.faultpoints import faultpoint
from orchestration.conditions.condition import Condition, Finding
from orchestration.conditions.journal import Journal
from orchestration.conditions.kinds import KINDS
from orchestration.reactions.alert import Event, about, notice
from orchestration.reactions.declared import Reaction
from orchestration.reactions.entries import Entry, Notice
from orchestration.reactions.ledger import Ledger


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
            found = _Judgement()
            for condition in list(self._journal.conditions.values()):
                if not condition.settled:
                    self._judge(condition, reactions, ledger, found, now=now)
            if found.notices or found.escalated or found.over:
                ledger.note(found.notices, escalated=found.escalated, over=found.over, now=now)
            for mark in found.marks:
                mark()

    def _judge(
        self,
        condition: Condition,
        reactions: Sequence[Reaction],
        ledger: Ledger,
        found: "_Judgement",
        *,
        now: datetime,
    ) -> None:
        """Add who is to hear what of a condition, and how the journal remembers that."""
        heard, fresh = condition.alerted_to, list[str]()
        of = about(self._journal.id, condition)
        # Nobody hears of what was over before the reaction was there.
        if (condition.closed is None or not heard) and self._is_due(condition, now=now):
            takers = (each.name for each in reactions if each.takes(condition.finding))
            fresh = [name for name in takers if name not in heard]
        if fresh:
            if not condition.lasted:
                with suppress(StorageError):  # a full disk holds up no alert
                    self._journal.lasted(condition)
            found.notices += [self._notice(condition, "opened", name, now) for name in fresh]
        if condition.closed is None:
            for by, entry in _to_escalate(reactions, heard, ledger, of, now=now):
                found.escalated += [entry] if entry.escalated_at is None else []
                to = by.escalate.to if by.escalate is not None else ""
                if to not in (*heard, *fresh):
                    fresh.append(to)
                    found.notices.append(self._notice(condition, "opened", to, now, escalated_from=by.name))
        if fresh:
            found.marks.append(partial(self._alerted, condition, (*heard, *fresh)))
        if condition.closed is not None:
            hear = {*heard, *fresh}
            names = [each.name for each in reactions if each.name in hear and each.all_well]
            found.notices += [self._notice(condition, "closed", name, now) for name in names]
            openings = (ledger.opening(name, of) for name in hear - {*names})
            found.over += [each for each in openings if each is not None and not each.over]
            found.marks.append(partial(self._settled, condition))

    def _alerted(self, condition: Condition, names: Sequence[str]) -> None:
        self._journal.alerted(condition, to=names)
        faultpoint("reactions.alerted")

    def _settled(self, condition: Condition) -> None:
        self._journal.settle([condition])
        faultpoint("reactions.settled")

    def _notice(
        self, condition: Condition, event: Event, reaction: str, now: datetime, *, escalated_from: str = ""
    ) -> Notice:
        return notice(
            condition, event, reaction, journal=self._journal.id, open_count=len(self._journal.open()),
            system=self._system, now=now, escalated_from=escalated_from,
        )  # fmt: skip

    def _is_due(self, condition: Condition, *, now: datetime) -> bool:
        """Whether it has lasted long enough for an alert."""
        patience = timedelta(seconds=KINDS[condition.finding.name].patience_seconds)
        if condition.lasted or not patience:
            return True
        lasted = (condition.closed or now) - condition.opened
        is_seen = condition.number not in self._inherited
        return is_seen and not timedelta(0) <= lasted < patience  # the clock may be set back


@dataclass
class _Judgement:
    """What reactions are to hear, what the ledger is to note, and how the journal remembers that."""

    notices: list[Notice] = field(default_factory=list)
    escalated: list[Entry] = field(default_factory=list)
    over: list[Entry] = field(default_factory=list)
    marks: list[Callable[[], None]] = field(default_factory=list)


def _to_escalate(
    reactions: Sequence[Reaction], heard: Sequence[str], ledger: Ledger, of: str, *, now: datetime
) -> Iterator[tuple[Reaction, Entry]]:
    """The openings that nobody acknowledged in time; also those noted as such before a crash."""
    for each in reactions:
        if each.escalate is None or each.name not in heard:
            continue
        entry = ledger.opening(each.name, of)
        if entry is None:
            continue
        if entry.escalated_at is not None or each.escalate.is_due(entry.heard_at, now=now):
            yield each, entry
