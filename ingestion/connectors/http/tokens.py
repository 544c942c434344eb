"""Bearer tokens of streams: what is kept is a hash, and a file that changes counts at once.

A token has 256 random bits, so its plain SHA-256 cannot be guessed back.
"""

import hmac
import json
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ingestion.connectors.port import Token
from ingestion.durable import make_folder
from ingestion.errors import StorageError
from ingestion.file_lock import lock_file
from ingestion.json_file import write_json

_FILE, _LOCK = "tokens.json", "tokens.lock"


class TokenFile:
    """The tokens of an installation.

    Args:
        state: The collector's folder.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / _FILE
        self._lock_path = state / _LOCK
        self._stamp: object = None
        self._tokens: list[dict[str, str]] = []

    def admits(self, stream: str, token: str) -> bool:
        """Whether a token is one of a stream's; no token is, of a file that cannot be read."""
        try:
            self._refresh()
        except StorageError:
            return False
        given = _hash(token)
        kept = [each["sha256"] for each in self._tokens if each["stream"] == stream]
        return any([hmac.compare_digest(given, each) for each in kept])

    def of(self, stream: str) -> list[Token]:
        """A stream's tokens, without what they are.

        Raises:
            StorageError: The file cannot be read.
        """
        self._refresh()
        return [Token(each["id"], each["made_at"]) for each in self._tokens if each["stream"] == stream]

    def make(self, stream: str) -> str:
        """A new token of a stream, which is shown once; the others stay valid.

        Raises:
            StorageError: The file cannot be written.
            StreamBusy: Another command changes it.
        """
        token = f"mr_{secrets.token_urlsafe(32)}"
        made = {
            "stream": stream,
            "id": secrets.token_hex(4),
            "sha256": _hash(token),
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._change(lambda tokens: [*tokens, made])
        return token

    def revoke(self, stream: str, token_id: str) -> bool:
        """End a token; returns whether there was one.

        Raises:
            StorageError: The file cannot be written.
            StreamBusy: Another command changes it.
        """
        known = {each.id for each in self.of(stream)}
        if token_id not in known:
            return False
        self._change(lambda tokens: [each for each in tokens if each["id"] != token_id])
        return True

    def _change(self, change: Callable[[Sequence[dict[str, str]]], list[dict[str, str]]]) -> None:
        try:
            make_folder(self._path.parent)
            lock = lock_file(self._lock_path, what=f"the file {self._path}")
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written ({error.strerror})") from None
        try:
            self._refresh()
            write_json(self._path, {"tokens": change(self._tokens)}, durable=True)
        finally:
            os.close(lock)

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)
            stamp: object = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            self._tokens = [
                {name: str(each[name]) for name in ("stream", "id", "sha256", "made_at")}
                for each in kept["tokens"]
            ]
            self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._tokens = None, []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{self._path} cannot be read ({type(error).__name__}); restore it, or delete it and make "
                "new tokens with 'millrace token make'"
            ) from None


def mart_subject(mart: str) -> str:
    """What a token for reading belongs to, where others belong to a stream.

    Args:
        mart: The mart; empty: all of them.
    """
    return f"marts:{mart}"


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
