"""The collector's lasting identity at the broker: client id and what its session is subscribed to.

A session outlives the process, so subscriptions of removed streams have to be taken back by name.
"""

import json
import uuid
from pathlib import Path

from ingestion.errors import StorageError
from ingestion.json_file import write_json


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
    """Give an installation another one's client id, and so its session: both must never run.

    Raises:
        StorageError: The file cannot be written.
    """
    write_json(session_file(state), {"client_id": client_id, "subscriptions": {}}, durable=True)


class SessionFile:
    """Client id and subscriptions, kept in a file.

    Args:
        path: The file; made when it is missing.
        prefix: Beginning of the client id; another one is another session.

    Attributes:
        client_id: Unique for this installation and the same after every restart.
        subscriptions: Filter → terms of what the broker's session is thought to hold.
        renewed_at: When all of them were last asked for (Unix seconds).

    Raises:
        StorageError: The file cannot be read or written.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            self.client_id = str(known["client_id"])
            self.subscriptions = {str(f): str(terms) for f, terms in known["subscriptions"].items()}
            self.renewed_at = float(known.get("renewed_at", 0))
        except FileNotFoundError:
            self.client_id, self.subscriptions, self.renewed_at = "", {}, 0.0
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{path} cannot be read ({type(error).__name__}); restore it, or delete it to begin a new "
                "MQTT session: then nobody fetches what the broker queued for the former one"
            ) from None
        if not self.client_id.startswith(f"{prefix}-"):
            self.client_id = f"{prefix}-{uuid.uuid4().hex[:8]}"
            self.remember({})

    def remember(self, subscriptions: dict[str, str], *, renewed_at: float | None = None) -> None:
        """Write down what the session is subscribed to, durably: the client id is nowhere else.

        Args:
            subscriptions: As the attribute.
            renewed_at: As the attribute; None leaves it.

        Raises:
            StorageError: The file cannot be written.
        """
        self.subscriptions = dict(subscriptions)
        self.renewed_at = self.renewed_at if renewed_at is None else renewed_at
        known = {
            "client_id": self.client_id, "subscriptions": self.subscriptions, "renewed_at": self.renewed_at,
        }  # fmt: skip
        write_json(self._path, known, durable=True)
