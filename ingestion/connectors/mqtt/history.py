"""When the broker still knew our sessions and when not: the only proof that it keeps them over restarts.

MQTT has no question for that. The file is evidence for `millrace doctor` (durability.py) and nothing else.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ingestion.errors import StorageError
from ingestion.json_file import write_json


@dataclass(frozen=True)
class Past:
    """One session's past, in Unix seconds.

    Attributes:
        made_at: Since when the broker has known it.
        resumed_at: When it last still knew it at a new connection; 0: never.
        lost: How often it had forgotten it.
        lost_at: When that was last found; 0: never.
    """

    made_at: float
    resumed_at: float = 0.0
    lost: int = 0
    lost_at: float = 0.0


class SessionHistory:
    """The past of all sessions with one broker, kept in a file.

    Args:
        state: The listener's folder.
        broker: host:port; of another broker nothing is known.
    """

    def __init__(self, state: Path, broker: str) -> None:
        self._path, self._broker = _file(state), broker
        self._sessions = read_history(state, broker)

    def connected(self, client_id: str, *, present: bool, now: float) -> None:
        """Note that a session was connected.

        Args:
            client_id: Its name.
            present: The broker still knew it.
            now: Unix seconds.
        """
        before = self._sessions.get(client_id)
        if before is None:
            after = Past(now)
        elif present:
            after = Past(before.made_at, now, before.lost, before.lost_at)
        else:
            after = Past(now, 0.0, before.lost + 1, now)
        self._sessions[client_id] = after
        content = {name: asdict(past) for name, past in self._sessions.items()}
        with suppress(StorageError):  # the spool reports a full disk
            write_json(self._path, {"broker": self._broker, "sessions": content})


def read_history(state: Path, broker: str) -> dict[str, Past]:
    """Client id → the session's past; empty where nothing is known."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_file(state).read_text(encoding="utf-8"))
        if kept["broker"] == broker:
            return {str(name): Past(**past) for name, past in kept["sessions"].items()}
    return {}


def _file(state: Path) -> Path:
    return state / "sessions_seen.json"
