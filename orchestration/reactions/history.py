"""What the ledger's file still keeps of the past, so that the lake gets each change of an alert once.

Every line of the ledger has a number. A file that is written again keeps what the lake has not taken.
"""

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingestion.json_file import write_json
from orchestration.conditions.lines import Line, read_lines
from orchestration.reactions.entries import LEDGER_FILE

TAKEN_FILE = Path("conditions") / "reactions_taken.json"
_ID, _WAS = "ledger", "was"
_MOST = 20_000
"""Lines kept for a lake that is away; the oldest are dropped."""
_STATES = {
    "pending", "held", "batched", "alone", "tried", "delivered", "failed", "suppressed", "dismissed", "retry",
    "acknowledged", "escalated",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A change of an alert.

    Attributes:
        ledger: The ledger's random id.
        number: Of the line, counted from 1; a line about several alerts is several changes.
        key: The alert's.
        state: pending, held, batched, alone, tried, delivered, failed, suppressed, dismissed, retry,
            acknowledged or escalated.
        changed_at: UTC.
        attempts: Tries so far; None where that is not known.
        answer: What the receiver or an operator said.
        batch: The key of the message that it is part of; empty for none.
        noted: The line that noted the alert; empty where the file has it no more.
    """

    ledger: str
    number: int
    key: str
    state: str
    changed_at: datetime
    attempts: int | None
    answer: str
    batch: str
    noted: Line


class History:
    """The writer's part.

    Args:
        data_dir: The data folder.
        lines: What the ledger's file holds.
    """

    def __init__(self, data_dir: Path, lines: Iterable[Line]) -> None:
        self._taken = data_dir / TAKEN_FILE
        self._id, self._last, self._kept = uuid.uuid4().hex[:16], 0, list[Line]()
        for line in lines:
            if line.get("op") == _ID and isinstance(line.get("id"), str):
                self._id = line["id"]
                self._last = max(self._last, _number(line))
            elif (found := _numbered(line)) is not None:
                self._last = max(self._last, _number(found))
                self._kept.append(found)

    def number(self, line: Line) -> Line:
        """A line with its number."""
        self._last += 1
        numbered = {"n": self._last, **line}
        self._kept.append(numbered)
        return numbered

    def whole(self) -> list[Line]:
        """What a new file begins with."""
        taken = _taken(self._taken, self._id)
        self._kept = [line for line in self._kept if _number(line) > taken][-_MOST:]
        return [
            {"op": _ID, "id": self._id, "n": self._last},
            *({"op": _WAS, "line": line} for line in self._kept),
        ]


def read_changes(data_dir: Path) -> Iterator[Change]:
    """The changes that the ledger's file holds, in their order.

    Args:
        data_dir: The data folder.
    """
    ledger, noted, kept = "", dict[str, Line](), list[Line]()
    for line in read_lines(data_dir / LEDGER_FILE):
        if line.get("op") == _ID:
            ledger = str(line.get("id"))
        found = _numbered(line)
        if found is not None:
            kept.append(found)
        said = found or line
        if said.get("op") == "pending":
            noted[str(said.get("key"))] = said
    for line in kept:
        if line.get("op") not in _STATES:
            continue
        for key in map(str, line["keys"] if "keys" in line else [line["key"]]):
            yield Change(
                ledger, _number(line), key, str(line["op"]), datetime.fromisoformat(line["at"]),
                line.get("attempts"), str(line.get("answer") or line.get("note") or ""),
                str(line.get("batch", "")), noted.get(key, {}),
            )  # fmt: skip


def note_taken(data_dir: Path, *, ledger: str, number: int) -> None:
    """Note up to which line the lake has a ledger.

    Raises:
        StorageError: The file cannot be written.
    """
    write_json(data_dir / TAKEN_FILE, {"ledger": ledger, "n": number})


def _numbered(line: Line) -> Line | None:
    """The line of a change; None for a line that only repeats what is so."""
    found = line.get("line") if line.get("op") == _WAS else line
    is_one = isinstance(found, dict) and found.get("op") != _ID and _number(found) > 0
    return found if is_one else None


def _number(line: Line) -> int:
    number = line.get("n")
    return number if isinstance(number, int) else 0


def _taken(path: Path, ledger: str) -> int:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return int(found["n"]) if found["ledger"] == ledger else 0
    except (OSError, ValueError, TypeError, KeyError):
        return 0
