"""The ledger of reactions: what each is owed, and what came of it. A second journal of the data folder.

An alert is noted as pending before its first try, and then what came of it (entries.py). Its key is sent
along and never changes. One process writes, the supervisor.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from ingestion.faultpoints import faultpoint
from orchestration.conditions.lines import Line, LineFile, read_lines
from orchestration.reactions.entries import (
    LEDGER_FILE,
    TOTALS,
    Entry,
    Held,
    Notice,
    apply,
    entry_lines,
    pending_line,
)
from orchestration.reactions.history import History

_MOST_LINES = 4000
_KEPT_DONE = 1000
_KEPT_OWED = 5000
"""Of each reaction; the oldest are given up and counted."""


class Ledger:
    """The writer; for use by several threads of one process.

    What cannot be written is true in memory all the same, and is written with the next line.

    Args:
        data_dir: The data folder.

    Attributes:
        noted: How many notices it has taken in since it was opened.
    """

    def __init__(self, data_dir: Path) -> None:
        self._lock, self.noted = threading.Lock(), 0
        self._held = Held()
        self._owed: list[Entry] | None = None  # asked for every second, changed seldom
        self._counts: dict[str, Counter[str]] | None = None
        path = data_dir / LEDGER_FILE
        lines = list(read_lines(path))
        for line in lines:
            apply(self._held, line)
        self._history = History(data_dir, lines)
        self._file = LineFile(path, count=len(lines), whole=self._whole, most_lines=lambda: _MOST_LINES)

    def counts(self) -> dict[str, Counter[str]]:
        """Reaction → one of STATES → how many, ever."""
        with self._lock:
            if self._counts is None:
                self._counts = self._held.counts()
            return self._counts

    def owed(self, reaction: str) -> list[Entry]:
        """A reaction's entries of which something is to be sent, in the order in which they were noted."""
        with self._lock:
            if self._owed is None:
                self._owed = [each for each in self._held.entries.values() if not each.is_done]
            return [each for each in self._owed if each.notice.reaction == reaction]

    def openings(self, reaction: str, *, since: datetime) -> list[Entry]:
        """A reaction's openings that it got since then."""
        with self._lock:
            found = [each for each in self._held.entries.values() if each.notice.reaction == reaction]
        return [
            each for each in found
            if each.notice.is_opening and each.state == "delivered" and each.changed_at is not None
            and each.changed_at > since
        ]  # fmt: skip

    def opening(self, reaction: str, about: str) -> Entry | None:
        """A reaction's opening of something; None where it has none, or has it no more."""
        with self._lock:
            return self._held.opening(reaction, about)

    def note(
        self,
        notices: Iterable[Notice],
        *,
        escalated: Iterable[Entry] = (),
        over: Iterable[Entry] = (),
        now: datetime | None = None,
    ) -> None:
        """Note what is to be sent; what is noted already stays as it is.

        Args:
            notices: They.
            escalated: Openings that another reaction is given with this.
            over: Openings whose ends nobody hears of.
            now: UTC; for the latter two.

        Raises:
            StorageError: The file cannot be written.
        """
        at = now.isoformat() if now is not None else ""
        with self._lock:
            for notice in notices:
                if notice.key not in self._held.entries:
                    self._add(pending_line(notice))
                    self.noted += 1
            for entry in escalated:
                self._add({"op": "escalated", "key": entry.notice.key, "at": at})
            for entry in over:
                self._add({"op": "over", "key": entry.notice.key, "at": at})
            self._file.write()
        faultpoint("reactions.noted")

    def hold(self, entries: Sequence[Entry], *, why: str, now: datetime) -> None:
        """Note that the time of entries has not come.

        Raises:
            StorageError: The file cannot be written.
        """
        self._write(entries, "held", now, answer=why)
        faultpoint("reactions.held")

    def suppress(self, entries: Sequence[Entry], *, why: str, now: datetime) -> None:
        """Note that nobody gets entries: what they are about was over before their time came.

        Raises:
            StorageError: The file cannot be written.
        """
        self._write(entries, "suppressed", now, answer=why)
        faultpoint("reactions.suppressed")

    def fix(self, entries: Sequence[Entry], *, batch: str, now: datetime) -> None:
        """Note which entries are one message, before its first try: its key stands for these.

        Raises:
            StorageError: The file cannot be written.
        """
        self._write(entries, "batched", now, batch=batch)
        faultpoint("reactions.fixed")

    def part(self, entries: Sequence[Entry], *, now: datetime) -> None:
        """Note that entries of a message are sent one by one from now on.

        Raises:
            StorageError: The file cannot be written.
        """
        self._write(entries, "alone", now)
        faultpoint("reactions.parted")

    def delivered(self, entries: Sequence[Entry], *, answer: str, now: datetime) -> None:
        """Note that a receiver has taken the notices of entries, which were one message.

        Raises:
            StorageError: The file cannot be written.
        """
        tries = max(each.attempts for each in entries) + 1
        self._write(entries, "delivered", now, attempts=tries, answer=answer)
        faultpoint("reactions.delivered")

    def refused(self, entries: Sequence[Entry], *, why: str, now: datetime, gives_up: bool) -> None:
        """Note that a try came to nothing.

        Args:
            entries: Of which; they were one message.
            why: What went wrong, without a secret.
            now: UTC.
            gives_up: Whether they are set aside.

        Raises:
            StorageError: The file cannot be written.
        """
        tries = max(each.attempts for each in entries) + 1
        self._write(entries, "failed" if gives_up else "tried", now, attempts=tries, answer=why)
        faultpoint("reactions.refused")

    def retry(self, keys: Iterable[str], *, request: str, now: datetime) -> None:
        """Begin again with entries that were set aside; any other stays as it is.

        Args:
            keys: Whose.
            request: Names the request: one that is taken in twice changes nothing more.
            now: UTC.

        Raises:
            StorageError: The file cannot be written.
        """
        with self._lock:
            for key in keys:
                entry = self._held.entries.get(key)
                if entry is not None and entry.state == "failed" and entry.request != request:
                    self._add({"op": "retry", "key": key, "at": now.isoformat(), "request": request})
            self._file.write()

    def dismiss(self, keys: Iterable[str], *, note: str, request: str, now: datetime) -> None:
        """Give up entries that are still to be sent or were set aside; any other stays as it is.

        Args:
            keys: Whose.
            note: Why.
            request: Names the request.
            now: UTC.

        Raises:
            StorageError: The file cannot be written.
        """
        line = {"op": "dismissed", "at": now.isoformat(), "request": request, "answer": note}
        with self._lock:
            for key in keys:
                entry = self._held.entries.get(key)
                if entry is not None and not entry.is_done:
                    self._add({**line, "key": key})
            self._file.write()

    def acknowledge(self, keys: Iterable[str], *, note: str, request: str, now: datetime) -> None:
        """Note that somebody takes care of what openings are about; every reaction's opening of it counts.

        Args:
            keys: Of openings; any other entry stays as it is.
            note: What somebody says.
            request: Names the request.
            now: UTC.

        Raises:
            StorageError: The file cannot be written.
        """
        line = {"op": "acknowledged", "at": now.isoformat(), "request": request, "note": note}
        with self._lock:
            found = [each for key in keys if (each := self._held.entries.get(key)) is not None]
            about = {(each.notice.origin, each.notice.about) for each in found}
            for entry in tuple(self._held.entries.values()):
                if (entry.notice.origin, entry.notice.about) in about and entry.is_awaited:
                    self._add({**line, "key": entry.notice.key})
            self._file.write()

    def _write(self, entries: Sequence[Entry], op: str, now: datetime, **more: object) -> None:
        with self._lock:
            current = (self._held.entries.get(each.notice.key) for each in entries)
            # An operator may have dismissed one while it was being sent.
            keys = [each.notice.key for each in current if each is not None and not each.is_done]
            if keys:
                self._add({"op": op, "keys": keys, "at": now.isoformat(), **more})
                self._file.write()

    def _add(self, line: Line) -> None:
        apply(self._held, line)
        self._owed = self._counts = None
        self._file.add(self._history.number(line))

    def _whole(self) -> list[Line]:
        """A new file: what is owed, openings of what is not over, and what was done last."""
        held, self._owed, self._counts = self._held, None, None
        owed, kept = defaultdict[str, list[Entry]](list), 0
        for entry in tuple(held.entries.values())[::-1]:
            if not entry.is_done:
                owed[entry.notice.reaction].append(entry)
            elif kept < _KEPT_DONE:
                kept += 1
            elif entry.state != "delivered" or not entry.notice.is_opening or entry.over:
                held.drop(entry, as_=entry.became)
        for entries in owed.values():
            for entry in entries[_KEPT_OWED:]:
                held.drop(entry, as_="given_up")
        lines = self._history.whole()
        lines += [
            {"op": TOTALS, "reaction": name, "counts": dict(total)} for name, total in held.totals.items()
        ]
        return lines + [line for each in held.entries.values() for line in entry_lines(each)]
