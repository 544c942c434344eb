"""Which requests were stored already: stream and idempotency key → where, for a declared time.

A key is noted after its events are durable and before they are answered for. What a crash leaves between the
two is found again in the newest segment of the spool, whose events hold their keys (`recover`).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from ingestion.connectors.http.delivery import Stored
from ingestion.durable import make_folder, sync_folder
from ingestion.errors import StorageError
from ingestion.spool.reader import Stretch

KEY, DIGEST = "idempotency_key", "digest"
"""In an event's headers."""
_TABLE = """
create table if not exists keys (
    stream text, key text, digest text, log_id text, first integer, count integer, at real,
    primary key (stream, key)
) without rowid
"""


class Noted(NamedTuple):
    """A request with a key, in one stream.

    Attributes:
        key: As its sender chose it.
        digest: Of its body.
        stored: Where its events are.
    """

    key: str
    digest: str
    stored: Stored


class Keys:
    """The keys of an installation; used by one thread.

    Args:
        path: The database; made where it is missing.

    Raises:
        StorageError: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folder(path.parent)
        with self._as_sentence():
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._database.execute("pragma journal_mode=wal")
            self._database.execute("pragma synchronous=full")
            self._database.execute(_TABLE)
        sync_folder(path.parent)

    def find(self, stream: str, key: str) -> Noted | None:
        """A request of a stream; None where none of this key is known."""
        with self._as_sentence():
            row = self._database.execute(
                "select digest, log_id, first, count from keys where stream = ? and key = ?", (stream, key)
            ).fetchone()
        return Noted(key, row[0], Stored(stream, row[1], row[2], row[3])) if row else None

    def note(self, noted: Iterable[Noted], *, now: float) -> None:
        """Note requests durably, all of them in one flush.

        Args:
            noted: The requests; one that is known stays as it is.
            now: Seconds since 1970.
        """
        rows = [(at.stream, key, digest, at.log_id, at.first, at.count, now) for key, digest, at in noted]
        if not rows:
            return
        with self._as_sentence():
            self._database.execute("begin immediate")
            try:
                self._database.executemany("insert or ignore into keys values (?, ?, ?, ?, ?, ?, ?)", rows)
                self._database.execute("commit")
            except sqlite3.Error:
                if self._database.in_transaction:
                    self._database.execute("rollback")
                raise

    def forget(self, stream: str, *, before: float) -> None:
        """Forget a stream's requests that were noted before a time."""
        with self._as_sentence():
            self._database.execute("delete from keys where stream = ? and at < ?", (stream, before))

    def close(self) -> None:
        """Close it."""
        self._database.close()

    @contextmanager
    def _as_sentence(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"{self._path} cannot be used ({error}); free or repair that disk, or move the file away: "
                "then requests of before that are sent again count as new ones"
            ) from None


def recover(stream: str, newest: Iterable[Stretch]) -> Iterator[Noted]:
    """The requests with a key in a spool's newest segment.

    Args:
        stream: The spool's.
        newest: What it holds, in order.
    """
    last: Noted | None = None
    for log_id, first, events in newest:
        for position, text in enumerate(events["headers"].to_pylist(), first):
            headers = orjson.loads(text) if text and KEY in text else {}
            key, digest = str(headers.get(KEY, "")), str(headers.get(DIGEST, ""))
            if last and last.key == key:
                last.stored.count += 1
                continue
            if last:
                yield last
            last = Noted(key, digest, Stored(stream, log_id, position, 1)) if key else None
    if last:
        yield last
