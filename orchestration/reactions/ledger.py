"""The ledger of reactions: what each is owed, and what came of it. A second journal of the data folder.

An alert is noted as pending before its first try, and then as delivered, as failed (set aside after many
tries) or as dismissed. Its key is sent along and never changes. One process writes, the supervisor.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ingestion.faultpoints import faultpoint
from orchestration.conditions.lines import Line, LineFile, read_lines

LEDGER_FILE = Path("conditions") / "reactions.jsonl"
State = Literal["pending", "delivered", "failed", "dismissed"]
_MOST_LINES = 4000
_KEPT_DONE = 1000
_KEPT_OWED = 5000
"""Of each reaction; the oldest are given up and counted."""
_TOTALS = "totals"


@dataclass(frozen=True)
class Notice:
    """Something that a reaction is to hear of.

    Attributes:
        key: Stable and unique: whoever gets it twice may drop the second. Without a full stop.
        reaction: Whose.
        origin: What it is about: condition, or what else brings alerts.
        about: Which one; notices about the same go out in their order.
        content: What is sent, as JSON.
        noted_at: UTC.
    """

    key: str
    reaction: str
    origin: str
    about: str
    content: Mapping[str, Any]
    noted_at: datetime


@dataclass(frozen=True)
class Entry:
    """A notice, and what came of it.

    Attributes:
        notice: As it was noted.
        state: pending, delivered, failed (set aside; `retry` makes it pending again) or dismissed.
        attempts: Tries so far; since the last retry.
        answer: Of the last try: what the receiver said, or why it did not take it; a dismissal's note.
        changed_at: When the last of this was noted, UTC.
        latency_seconds: From the note until the receiver had taken it; None until then.
        retried_at: When somebody asked for new tries, UTC.
        request: The last request of an operator that was taken in.
    """

    notice: Notice
    state: State = "pending"
    attempts: int = 0
    answer: str = ""
    changed_at: datetime | None = None
    latency_seconds: float | None = None
    retried_at: datetime | None = None
    request: str = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be done any more."""
        return self.state in ("delivered", "dismissed")

    @property
    def begun_at(self) -> datetime:
        """Since when it is tried."""
        return self.retried_at or self.notice.noted_at


@dataclass
class Held:
    """What a ledger holds.

    Attributes:
        entries: By key, in the order in which they were noted.
        totals: Reaction → how many were delivered, dismissed, given up, of those that the file holds no more.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    totals: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def counts(self) -> dict[str, Counter[str]]:
        """Reaction → state, or given_up → how many, ever."""
        counts = defaultdict(Counter, {name: Counter(total) for name, total in self.totals.items()})
        for entry in self.entries.values():
            counts[entry.notice.reaction][entry.state] += 1
        return dict(counts)


def read_ledger(data_dir: Path) -> Held:
    """What the ledger of a data folder holds; nothing where there is none."""
    held = Held()
    for line in read_lines(data_dir / LEDGER_FILE):
        _apply(held, line)
    return held


class Ledger:
    """The writer; for use by several threads of one process.

    What cannot be written is true in memory all the same, and is written with the next line.

    Args:
        data_dir: The data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._lock = threading.Lock()
        self._held = Held()
        self._owed: list[Entry] | None = None  # asked for every second, changed seldom
        self._counts: dict[str, Counter[str]] | None = None
        path = data_dir / LEDGER_FILE
        lines = list(read_lines(path))
        for line in lines:
            _apply(self._held, line)
        self._file = LineFile(path, count=len(lines), whole=self._whole, most_lines=lambda: _MOST_LINES)

    def counts(self) -> dict[str, Counter[str]]:
        """Reaction → state, or given_up → how many, ever."""
        with self._lock:
            if self._counts is None:
                self._counts = self._held.counts()
            return self._counts

    def owed(self, reaction: str) -> list[Entry]:
        """A reaction's entries that are pending or failed, in the order in which they were noted."""
        with self._lock:
            if self._owed is None:
                self._owed = [each for each in self._held.entries.values() if not each.is_done]
            return [each for each in self._owed if each.notice.reaction == reaction]

    def note(self, notices: Iterable[Notice]) -> None:
        """Note what is to be sent; what is noted already stays as it is.

        Raises:
            StorageError: The file cannot be written.
        """
        with self._lock:
            for notice in notices:
                if notice.key not in self._held.entries:
                    self._add(_written(notice))
            self._file.write()
        faultpoint("reactions.noted")

    def delivered(self, entry: Entry, *, answer: str, now: datetime) -> None:
        """Note that a receiver has taken an entry's notice.

        Raises:
            StorageError: The file cannot be written.
        """
        seconds = round(max(0.0, (now - entry.notice.noted_at).total_seconds()), 3)
        self._write(entry, "delivered", now, attempts=entry.attempts + 1, answer=answer, latency=seconds)
        faultpoint("reactions.delivered")

    def refused(self, entry: Entry, *, why: str, now: datetime, gives_up: bool) -> None:
        """Note that a try came to nothing.

        Args:
            entry: Of which.
            why: What went wrong, without a secret.
            now: UTC.
            gives_up: Whether it is set aside.

        Raises:
            StorageError: The file cannot be written.
        """
        self._write(entry, "failed" if gives_up else "tried", now, attempts=entry.attempts + 1, answer=why)
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
        """Give up entries that are pending or were set aside; any other stays as it is.

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

    def _write(self, entry: Entry, op: str, now: datetime, **more: object) -> None:
        with self._lock:
            current = self._held.entries.get(entry.notice.key)
            if current is None or current.is_done:  # an operator has dismissed it while it was being sent
                return
            self._add({"op": op, "key": entry.notice.key, "at": now.isoformat(), **more})
            self._file.write()

    def _add(self, line: Line) -> None:
        _apply(self._held, line)
        self._owed = self._counts = None
        self._file.add(line)

    def _whole(self) -> list[Line]:
        """A new file: what is owed, and what was done last."""
        held, self._owed, self._counts = self._held, None, None
        owed = defaultdict[str, list[Entry]](list)
        for entry in held.entries.values():
            if not entry.is_done:
                owed[entry.notice.reaction].append(entry)
        done = [entry for entry in held.entries.values() if entry.is_done]
        for entry in done[:-_KEPT_DONE]:
            held.totals[entry.notice.reaction][entry.state] += 1
            del held.entries[entry.notice.key]
        for name, entries in owed.items():
            for entry in entries[:-_KEPT_OWED]:
                held.totals[name]["given_up"] += 1
                del held.entries[entry.notice.key]
        lines: list[Line] = [
            {"op": _TOTALS, "reaction": name, "counts": dict(total)} for name, total in held.totals.items()
        ]
        return lines + [line for each in held.entries.values() for line in _whole_entry(each)]


def _written(notice: Notice) -> Line:
    return {
        "op": "pending", "key": notice.key, "reaction": notice.reaction, "origin": notice.origin,
        "about": notice.about, "content": dict(notice.content), "at": notice.noted_at.isoformat(),
    }  # fmt: skip


def _whole_entry(entry: Entry) -> Iterator[Line]:
    key = entry.notice.key
    yield _written(entry.notice)
    if entry.retried_at is not None:
        yield {"op": "retry", "key": key, "at": entry.retried_at.isoformat(), "request": entry.request}
    if entry.changed_at is not None and (entry.attempts or entry.is_done):
        op = "tried" if entry.state == "pending" else entry.state
        yield {
            "op": op, "key": key, "at": entry.changed_at.isoformat(), "attempts": entry.attempts,
            "answer": entry.answer, "latency": entry.latency_seconds, "request": entry.request,
        }  # fmt: skip


def _apply(held: Held, line: Line) -> None:
    """Enter a line; one of another release that says what is unknown here is passed over."""
    try:
        op = line["op"]
        if op == _TOTALS:
            held.totals[str(line["reaction"])] = Counter(line["counts"])
            return
        key, at = str(line["key"]), datetime.fromisoformat(line["at"])
        if op == "pending":
            notice = Notice(
                key, str(line["reaction"]), str(line["origin"]), str(line["about"]), dict(line["content"]), at
            )
            held.entries[key] = Entry(notice)
        elif op in ("tried", "delivered", "failed", "dismissed"):
            entry = held.entries[key]
            held.entries[key] = replace(
                entry, state="pending" if op == "tried" else op, changed_at=at,
                attempts=int(line.get("attempts", entry.attempts)), answer=str(line.get("answer", "")),
                latency_seconds=line.get("latency"), request=str(line.get("request", entry.request)),
            )  # fmt: skip
        elif op == "retry":
            held.entries[key] = replace(
                held.entries[key], state="pending", attempts=0, retried_at=at, changed_at=at,
                request=str(line["request"]),
            )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return
