"""The journal of conditions: a small file in the data folder, flushed to the disk with every line.

It needs neither lake nor catalog, so that it can say that these are away. One process writes, the
supervisor; any may read. A line is a JSON object; a torn last line, after a crash, counts as not written.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestration.conditions.condition import Condition, Finding, by_importance
from orchestration.conditions.lines import Line, LineFile, read_lines

JOURNAL_FILE = Path("conditions") / "journal.jsonl"
_MOST_LINES = 2000
_ID, _GIVEN_UP = "journal", "given_up"
_WEBHOOK = "webhook"
"""The only reaction that there was when lines of openings named none."""
_KEPT_CLOSED = 200
_KEPT_OWED = 5000
"""Closed ones that were not handed over yet: the ledger of reactions cannot be written, say."""


def read_conditions(data_dir: Path) -> list[Condition]:
    """Every condition that the journal holds, in the order in which they opened; empty without a journal."""
    conditions: dict[int, Condition] = {}
    for line in read_lines(data_dir / JOURNAL_FILE):
        _apply(conditions, line)
    return list(conditions.values())


def open_conditions(data_dir: Path) -> list[Condition]:
    """The conditions that are open, the most important first."""
    return by_importance(each for each in read_conditions(data_dir) if each.closed is None)


def in_another_journal(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines of a journal as another one's beginning: its conditions keep the keys of their alerts.

    Both count on from the same number, and the key of another condition must be another one.

    Args:
        lines: Of the journal.
    """
    own = ""
    for line in lines:
        if line.get("op") == _ID:
            own = str(line.get("id"))
        elif own and line.get("op") == "open" and not line.get("identity"):
            yield {**line, "identity": f"{own}-{line.get('number')}"}
        else:
            yield line


class Journal:
    """The journal's writer.

    Args:
        data_dir: The data folder.

    Attributes:
        conditions: What it holds, by number; also what could not be written yet.
        given_up: How many closed ones were dropped although they had not been handed over.
        id: Random; the numbers of conditions are unique within it.
    """

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / JOURNAL_FILE
        self.conditions: dict[int, Condition] = {}
        self.given_up = 0
        self.id = uuid.uuid4().hex[:16]
        lines = list(read_lines(path))
        for line in lines:
            if line.get("op") == _ID and isinstance(line.get("id"), str):
                self.id = line["id"]
            if line.get("op") == _GIVEN_UP and isinstance(line.get("count"), int):
                self.given_up = line["count"]
            _apply(self.conditions, line)
        self._file = LineFile(path, count=len(lines), whole=self._whole, most_lines=lambda: _MOST_LINES)

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
            elif before.finding != _as_first(finding, before.finding):
                self._add({"op": "change", "number": before.number, **asdict(finding)})
        for key, condition in known.items():
            if key not in found and condition.finding.name not in unknown:
                self._add({"op": "close", "number": condition.number, "at": now.isoformat()})
        self.write()

    def alerted(self, condition: Condition, *, to: Iterable[str]) -> None:
        """Note to which reactions a condition's opening was given, all of them.

        Raises:
            StorageError: As `note` does.
        """
        self._add({"op": "alerted", "number": condition.number, "to": sorted(to)})
        self.write()

    def owed(self) -> list[Condition]:
        """The closed conditions that were not handed over, in the order in which they opened."""
        return [each for each in self.conditions.values() if each.closed is not None and _is_owed(each)]

    def settle(self, conditions: Iterable[Condition]) -> None:
        """Note that closed conditions were handed over, or are nobody's.

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
        self._file.write()

    def _add(self, line: Mapping[str, object]) -> None:
        _apply(self.conditions, line)
        self._file.add(line)

    def _whole(self) -> list[Line]:
        """A new file: what is open, what is to be handed over, and what closed last."""
        owed = self.owed()
        done = [each for each in self.conditions.values() if each.closed is not None and not _is_owed(each)]
        given_up = owed[:-_KEPT_OWED]
        for condition in done[:-_KEPT_CLOSED] + given_up:
            del self.conditions[condition.number]
        self.given_up += len(given_up)
        lines: list[Line] = [{"op": _ID, "id": self.id}]
        if self.given_up:
            lines.append({"op": _GIVEN_UP, "count": self.given_up})
        return lines + [line for each in self.conditions.values() for line in _written(each)]


def _is_owed(condition: Condition) -> bool:
    return not condition.settled


def _written(condition: Condition) -> Iterator[Mapping[str, object]]:
    number = condition.number
    yield {"op": "open", "number": number, "at": condition.opened.isoformat(), **asdict(condition.finding)}
    if condition.lasted:
        yield {"op": "lasted", "number": number}
    if condition.alerted_to:
        yield {"op": "alerted", "number": number, "to": list(condition.alerted_to)}
    if condition.closed is not None:
        yield {"op": "close", "number": number, "at": condition.closed.isoformat()}
    if condition.settled:
        yield {"op": "settled", "number": number}


def _apply(conditions: dict[int, Condition], line: Mapping[str, Any]) -> None:
    """Enter a line; one of another release that says what is unknown here is passed over."""
    try:
        number, done = int(line["number"]), line["op"]
        if done == "open":
            conditions[number] = Condition(number, _finding(line), datetime.fromisoformat(line["at"]))
        elif done == "change":
            finding = _as_first(_finding(line), conditions[number].finding)
            conditions[number] = replace(conditions[number], finding=finding)
        elif done == "close":
            conditions[number] = replace(conditions[number], closed=datetime.fromisoformat(line["at"]))
        elif done == "alerted":
            conditions[number] = replace(
                conditions[number], alerted_to=tuple(map(str, line.get("to", [_WEBHOOK])))
            )
        elif done == "lasted":
            conditions[number] = replace(conditions[number], lasted=True)
        elif done == "settled":
            conditions[number] = replace(conditions[number], settled=True)
    except (KeyError, TypeError, ValueError):
        return


def _as_first(finding: Finding, first: Finding) -> Finding:
    """What was found again, known by what it was first known by."""
    return replace(finding, identity=first.identity, traceparent=first.traceparent)


def _finding(line: Mapping[str, Any]) -> Finding:
    return Finding(
        line["name"],
        line["subject"],
        line["sentence"],
        line["remedy"],
        line.get("severity", ""),
        line.get("identity", ""),
        tuple((str(word), str(at)) for word, at in line.get("times", ())),
        line.get("traceparent", ""),
    )
