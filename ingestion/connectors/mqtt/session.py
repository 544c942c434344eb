"""The collector's lasting identity at the broker: a session for each stream, and what each is subscribed to.

Sessions outlive the process, so those of removed streams have to be taken back by name.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingestion.errors import StorageError
from ingestion.json_file import write_json

FORMER = ""
"""The session that an earlier release shared among all streams; its client id is the installation's own."""


@dataclass
class _Known:
    """What is known of a session: its filters and their terms, and when they were last asked for."""

    subscriptions: dict[str, str] = field(default_factory=dict)
    renewed_at: float = 0.0

    @staticmethod
    def of(kept: Mapping[str, Any]) -> "_Known":
        subscriptions = {str(name): str(terms) for name, terms in kept["subscriptions"].items()}
        return _Known(subscriptions, float(kept.get("renewed_at", 0)))

    def as_json(self) -> dict[str, object]:
        return {"subscriptions": self.subscriptions, "renewed_at": self.renewed_at}


def session_file(state: Path) -> Path:
    """Where an installation keeps it: in its collector's folder."""
    return state / "session.json"


def known_client_id(state: Path) -> str:
    """The client id of an installation's collector; empty before its first start, or when unreadable."""
    try:
        return str(json.loads(session_file(state).read_text(encoding="utf-8"))["client_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def take_over(state: Path, client_id: str) -> None:
    """Give an installation another one's client id, and so its sessions: both must never run.

    Raises:
        StorageError: The file cannot be written.
    """
    known = {"client_id": client_id, "sessions": {FORMER: _Known().as_json()}}
    write_json(session_file(state), known, durable=True)


class SessionsFile:
    """Client id and the sessions under it, kept in a file.

    Args:
        path: The file; made when it is missing.
        prefix: Beginning of the client id; another one makes other sessions.

    Attributes:
        client_id: Unique for this installation and the same after every restart.

    Raises:
        StorageError: The file cannot be read or written.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self._path = path
        self.client_id, self._sessions = _read(path)
        if not self.client_id.startswith(f"{prefix}-"):
            self.client_id, self._sessions = f"{prefix}-{uuid.uuid4().hex[:8]}", {}
            self._write()

    @property
    def names(self) -> tuple[str, ...]:
        """The sessions that the broker is thought to hold."""
        return tuple(self._sessions)

    def session(self, name: str) -> "Session":
        """A stream's session, known or new."""
        return Session(self, name)

    def forget(self, name: str) -> None:
        """Note that the broker does not hold a session any more.

        Raises:
            StorageError: The file cannot be written.
        """
        self._sessions.pop(name, None)
        self._write()

    def known(self, name: str) -> _Known:
        """What is known of a session; nothing of a new one."""
        return self._sessions.get(name, _Known())

    def remember(self, name: str, known: _Known) -> None:
        """Write down what is known of a session, durably: it is nowhere else.

        Raises:
            StorageError: The file cannot be written.
        """
        self._sessions[name] = known
        self._write()

    def _write(self) -> None:
        sessions = {name: known.as_json() for name, known in self._sessions.items()}
        write_json(self._path, {"client_id": self.client_id, "sessions": sessions}, durable=True)


class Session:
    """One stream's session at the broker."""

    def __init__(self, file: SessionsFile, name: str) -> None:
        self._file, self._name = file, name
        self.client_id = f"{file.client_id}-{name}" if name != FORMER else file.client_id

    @property
    def subscriptions(self) -> dict[str, str]:
        """Filter → terms of what the broker's session is thought to hold."""
        return self._file.known(self._name).subscriptions

    @property
    def renewed_at(self) -> float:
        """When all of them were last asked for (Unix seconds)."""
        return self._file.known(self._name).renewed_at

    def remember(self, subscriptions: dict[str, str], *, renewed_at: float | None = None) -> None:
        """Write down what the session is subscribed to.

        Args:
            subscriptions: As the attribute.
            renewed_at: As the attribute; None leaves it.

        Raises:
            StorageError: The file cannot be written.
        """
        renewed = self.renewed_at if renewed_at is None else renewed_at
        self._file.remember(self._name, _Known(dict(subscriptions), renewed))


def _read(path: Path) -> tuple[str, dict[str, _Known]]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if "subscriptions" in kept:  # of an earlier release: one session for all streams
            return str(kept["client_id"]), {FORMER: _Known.of(kept)}
        sessions = {str(name): _Known.of(each) for name, each in kept["sessions"].items()}
        return str(kept["client_id"]), sessions
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{path} cannot be read ({type(error).__name__}); restore it, or delete it to begin new "
            "MQTT sessions: then nobody fetches what the broker queued for the former ones"
        ) from None
