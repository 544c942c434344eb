"""The journal of conditions: a small file in the data folder, flushed to the disk with every line.

It needs neither lake nor catalog, so that it can say that these are away. One process writes, the
supervisor; any may read. A line is a JSON object; a torn last line, after a crash, counts as not written.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ingestion.durable import make_folder, replace_file, sync_folder
from ingestion.errors import StorageError
from orchestration.conditions.condition import Condition, Finding, by_importance
from orchestration.conditions.kinds import KINDS

JOURNAL_FILE = Path("conditions") / "journal.jsonl"
_MOST_LINES = 2000
_MOST_BYTES = 64 * 2**20
_GIVEN_UP = "given_up"
_KEPT_CLOSED = 200
_KEPT_OWED = 5000
"""Closed ones of which something is still to be posted; a webhook may be away for days."""


def read_conditions(data_dir: Path) -> list[Condition]:
    """Every condition that the journal holds, in the order in which they opened; empty without a journal."""
    conditions: dict[int, Condition] = {}
    for line in _lines(data_dir / JOURNAL_FILE):
        _apply(conditions, line)
    return list(conditions.values())


def open_conditions(data_dir: Path) -> list[Condition]:
    """The conditions that are open, the most important first."""
    return by_importance(each for each in read_conditions(data_dir) if each.closed is None)


class Journal:
    """The journal's writer.

    Args:
        data_dir: The data folder.

    Attributes:
        conditions: What it holds, by number; also what could not be written yet.
        given_up: How many closed ones were dropped although something was to be posted of them.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / JOURNAL_FILE
        self.conditions: dict[int, Condition] = {}
        self._unwritten: list[Mapping[str, object]] = []
        self._count = self._whole = 0
        self.given_up = 0
        for line in _lines(self._path):
            if line.get("op") == _GIVEN_UP and isinstance(line.get("count"), int):
                self.given_up = line["count"]
            _apply(self.conditions, line)
            self._count += 1
        # Its end may be torn, or not on the disk although it can be read: it is written again as a whole.
        self._damaged = self._path.exists()

    def open(self) -> list[Condition]:
        """The conditions that are open, the most important first."""
        return by_importance(each for each in self.conditions.values() if each.closed is None)

    def note(self, findings: Iterable[Finding], *, unknown: Iterable[str] = (), now: datetime) -> None:
        """Open what is found for the first time, close what is found no more.

        Args:
            findings: All that is wrong now.
            unknown: Kinds of which nothing is known now: their conditions stay as they are.
            now: UTC.

        Raises:
            StorageError: The file cannot be written; everything is kept and written with the next call.
        """
        found = {finding.key: finding for finding in findings}
        unknown, known = frozenset(unknown), {each.finding.key: each for each in self.open()}
        for key, finding in found.items():
            before = known.get(key)
            if before is None:
                number = max(self.conditions, default=0) + 1
                self._add({"op": "open", "number": number, "at": now.isoformat(), **asdict(finding)})
            elif before.finding != finding:
                self._add({"op": "change", "number": before.number, **asdict(finding)})
        for key, condition in known.items():
            if key not in found and condition.finding.name not in unknown:
                self._add({"op": "close", "number": condition.number, "at": now.isoformat()})
        self.write()

    def alerted(self, condition: Condition) -> None:
        """Note that a condition's opening was posted.

        Raises:
            StorageError: As `note` does.
        """
        self._add({"op": "alerted", "number": condition.number})
        self.write()

    def owed(self) -> list[Condition]:
        """The closed conditions of which something may still be posted, in the order in which they opened."""
        return [each for each in self.conditions.values() if each.closed is not None and _is_owed(each)]

    def settle(self, conditions: Iterable[Condition]) -> None:
        """Note that nothing is to be posted of closed conditions any more.

        Raises:
            StorageError: As `note` does.
        """
        for condition in conditions:
            self._add({"op": "settled", "number": condition.number})
        self.write()

    def lasted(self, condition: Condition) -> None:
        """Note that a condition was seen to last as long as an alert takes.

        Raises:
            StorageError: As `note` does.
        """
        self._add({"op": "lasted", "number": condition.number})
        self.write()

    def write(self) -> None:
        """Append what is not in the file yet, and flush it.

        Raises:
            StorageError: The file cannot be written.
        """
        if not self._unwritten:
            return
        try:
            make_folder(self._path.parent)
            # Twice as long as it need be is long enough: else a long one would be written with every line.
            if self._damaged or self._count + len(self._unwritten) > max(_MOST_LINES, 2 * self._whole):
                self._rewrite()
            else:
                self._append()
        except OSError as error:
            self._damaged = True
            raise StorageError(
                f"{self._path} cannot be written ({error.strerror or error}); free that disk or repair its "
                "permissions"
            ) from None
        self._unwritten.clear()
        self._damaged = False

    def _add(self, line: Mapping[str, object]) -> None:
        _apply(self.conditions, line)
        self._unwritten.append(line)

    def _append(self) -> None:
        with self._path.open("ab") as file:
            end = file.tell()
            file.write("".join(f"{json.dumps(line)}\n" for line in self._unwritten).encode())
            file.flush()
            os.fsync(file.fileno())
        if not end:
            sync_folder(self._path.parent)
        self._count += len(self._unwritten)

    def _rewrite(self) -> None:
        """Begin a new file with what is open, what is to be posted, and what closed last."""
        owed = self.owed()
        done = [each for each in self.conditions.values() if each.closed is not None and not _is_owed(each)]
        given_up = owed[:-_KEPT_OWED]
        for condition in done[:-_KEPT_CLOSED] + given_up:
            del self.conditions[condition.number]
        self.given_up += len(given_up)
        lines = [line for each in self.conditions.values() for line in _written(each)]
        if self.given_up:
            lines.insert(0, {"op": _GIVEN_UP, "count": self.given_up})
        replace_file(self._path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        self._count = self._whole = len(lines)


def _is_owed(condition: Condition) -> bool:
    return KINDS[condition.finding.name].alerted and not condition.settled


def _written(condition: Condition) -> Iterator[Mapping[str, object]]:
    number = condition.number
    yield {"op": "open", "number": number, "at": condition.opened.isoformat(), **asdict(condition.finding)}
    if condition.lasted:
        yield {"op": "lasted", "number": number}
    if condition.alerted:
        yield {"op": "alerted", "number": number}
    if condition.closed is not None:
        yield {"op": "close", "number": number, "at": condition.closed.isoformat()}
    if condition.settled:
        yield {"op": "settled", "number": number}


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)  # a file that is not ours must not fill the memory
    except OSError:
        return
    for line in content.split(b"\n")[:-1]:  # what follows the last line's end is torn
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _apply(conditions: dict[int, Condition], line: Mapping[str, Any]) -> None:
    """Enter a line; one of another release that says what is unknown here is passed over."""
    try:
        number, done = int(line["number"]), line["op"]
        if done == "open":
            conditions[number] = Condition(number, _finding(line), datetime.fromisoformat(line["at"]))
        elif done == "change":
            conditions[number] = replace(conditions[number], finding=_finding(line))
        elif done == "close":
            conditions[number] = replace(conditions[number], closed=datetime.fromisoformat(line["at"]))
        elif done == "alerted":
            conditions[number] = replace(conditions[number], alerted=True)
        elif done == "lasted":
            conditions[number] = replace(conditions[number], lasted=True)
        elif done == "settled":
            conditions[number] = replace(conditions[number], settled=True)
    except (KeyError, TypeError, ValueError):
        return


def _finding(line: Mapping[str, Any]) -> Finding:
    return Finding(line["name"], line["subject"], line["sentence"], line["remedy"])
