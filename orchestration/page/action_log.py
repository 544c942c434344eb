"""Who did what from the page and when: a file of JSON lines in the data folder."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingestion.clock import utc_now
from orchestration.conditions.lines import Line, LineFile, read_lines
from orchestration.web.roles import Who

ACTIONS_FILE = Path("logs") / "actions.jsonl"
_MOST_LINES = 20_000
_KEPT_LINES = 10_000


@dataclass(frozen=True)
class Did:
    """An action, as it stands in the log.

    Attributes:
        at: UTC.
        name: Of who did it, as given at the login.
        role: Whose password that was.
        command: The arguments of `millrace`.
        state: begun, done, failed or refused.
        said: What the command said.
    """

    at: datetime
    name: str
    role: str
    command: tuple[str, ...]
    state: str
    said: str


class ActionLog:
    """The writer, of the page's process; for several threads.

    Args:
        data_dir: The data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._lock, path = threading.Lock(), data_dir / ACTIONS_FILE
        self._lines = deque(read_lines(path), maxlen=_KEPT_LINES)
        self._file = LineFile(
            path, count=len(self._lines), whole=lambda: [*self._lines], most_lines=lambda: _MOST_LINES
        )

    def note(self, who: Who, command: Sequence[str], state: str, *, address: str, said: str = "") -> None:
        """Write a line.

        Args:
            who: Who asks.
            command: The arguments of `millrace`.
            state: begun, done, failed or refused.
            address: Where the request came from.
            said: What the command said.

        Raises:
            StorageError: The file cannot be written.
        """
        line: Line = {
            "at": utc_now().isoformat(timespec="milliseconds"), "who": who.name, "role": who.role,
            "from": address, "command": list(command), "state": state, "said": said,
        }  # fmt: skip
        with self._lock:
            self._lines.append(line)
            self._file.add(line)
            self._file.write()


def newest_actions(data_dir: Path, *, count: int) -> list[Did]:
    """What was done last, the newest first, without what has only begun.

    Args:
        data_dir: The data folder.
        count: How many at most.
    """
    found = deque[Did](maxlen=count)
    for line in read_lines(data_dir / ACTIONS_FILE):
        try:
            did = Did(
                datetime.fromisoformat(line["at"]), str(line["who"]), str(line["role"]),
                tuple(map(str, line["command"])), str(line["state"]), str(line["said"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            continue
        if did.state != "begun":
            found.append(did)
    return list(found)[::-1]
