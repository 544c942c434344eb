"""Reads marts of the lake for whoever asks: one version of it, read-only, a piece at a time."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches

import duckdb
import pyarrow as pa

from ingestion.connectors.marts import Head, MartRefused, Wanted
from ingestion.errors import MillraceError
from ingestion.lake.interrupting import interrupt_until
from ingestion.lake.lake import WATCHER_SECONDS, Lake
from ingestion.serve.bodies import FORMS
from ingestion.serve.pages import Page, read_page
from ingestion.serve.questions import Question, understand
from ingestion.serve.shelf import Mart, served_marts, shown_batches
from ingestion.settings import Settings

_ROWS = 2_048
_MEMORY = "256MB"


class LakeMartReader:
    """Reads marts; from any thread (connectors/marts.py).

    Args:
        settings: Where the lake is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[Lake] = []
        self._open: set[LakeAnswer] = set()
        self._lock = threading.Lock()
        self._closed = False

    def names(self) -> Sequence[str]:
        """The marts that are served."""
        return sorted(served_marts(self._settings.data_dir))

    def open(self, wanted: Wanted) -> "LakeAnswer":
        """Begin to answer.

        Raises:
            MartRefused: It is not answered, and why.
        """
        marts = served_marts(self._settings.data_dir)
        mart = marts.get(wanted.mart)
        if mart is None:
            raise MartRefused("unknown", _unknown(wanted.mart, [*marts]))
        page = read_page(wanted)
        # Noted after the build: a version that is begun now holds at least as much.
        shown = shown_batches(self._settings.data_dir).get(mart.name, {})
        lake = self._take()
        try:
            lake.connection.execute("begin transaction")
            begun = page or Page(mart.name, lake.snapshot_id(), wanted.since, -1, shown)
            question = understand(lake, mart, wanted, begun)
            answer = LakeAnswer(lake, mart, wanted, question, give_back=self._give_back)
            with self._lock:
                self._open.add(answer)
            return answer
        except MartRefused:
            self._put_back(lake)
            raise
        except (MillraceError, duckdb.Error) as error:
            _drop(lake)
            raise _refusal(mart, error) from None

    def close(self) -> None:
        """End the answers that are open, and close every connection."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
            answers = [*self._open]
        for answer in answers:
            answer.interrupt()
            answer.close()
        for lake in idle:
            _drop(lake)

    def _take(self) -> Lake:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Lake(self._settings, read_only=True, renew_seconds=WATCHER_SECONDS, time_travel=True)

    def _give_back(self, answer: "LakeAnswer") -> None:
        with self._lock:
            self._open.discard(answer)
        self._put_back(answer.lake)

    def _put_back(self, lake: Lake) -> None:
        try:
            lake.connection.execute("rollback")
        except (MillraceError, duckdb.Error):
            _drop(lake)
        with self._lock:
            if not self._closed:
                self._idle.append(lake)
                return
        _drop(lake)


class LakeAnswer:
    """An answer (connectors/marts.py, MartAnswer).

    Args:
        lake: Of this answer alone, until it is given back.
        mart: The mart.
        wanted: The question.
        question: How it is answered.
        give_back: Takes the lake.

    Attributes:
        lake: The same.
        head: What is known before the first row.
    """

    def __init__(
        self,
        lake: Lake,
        mart: Mart,
        wanted: Wanted,
        question: Question,
        *,
        give_back: Callable[["LakeAnswer"], None],
    ) -> None:
        self.lake, self._mart, self._give_back = lake, mart, give_back
        self._connection = lake.connection
        self._connection.execute(f"set memory_limit = '{_MEMORY}'")
        self._connection.execute("set threads = 1")
        self._pieces = self._run(question, wanted)
        self._in_use, self._is_open, self._is_ended = threading.Lock(), True, False
        self.head: Head = question.head

    def _run(self, question: Question, wanted: Wanted) -> Iterator[bytes]:
        rows = self._connection.execute(question.sql).to_arrow_reader(_ROWS)
        yield from FORMS[wanted.notation].pieces(self._mart.name, question.columns, question.head, rows)

    def next(self) -> bytes:
        """The next piece of the body; empty at the end.

        Raises:
            MartRefused: The lake does not answer any more.
        """
        with self._in_use:
            try:
                if self._is_ended:
                    raise duckdb.InterruptException("ended")
                return next(self._pieces, b"")
            except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:  # RuntimeError: ended
                raise _refusal(self._mart, error) from None

    def interrupt(self) -> None:
        """End what `next` waits for, from another thread."""
        self._is_ended = True
        self._connection.interrupt()
        if self._in_use.locked():
            threading.Thread(target=self._end, name="end of an answer", daemon=True).start()

    def _end(self) -> None:
        interrupt_until(self._connection, self._has_ended)

    def _has_ended(self, within_seconds: float) -> bool:
        if self._in_use.acquire(timeout=within_seconds):
            self._in_use.release()
            return True
        return not self._is_open  # what takes so long is to give it back

    def close(self) -> None:
        """Give back what it holds."""
        with self._in_use:
            if self._is_open:
                self._is_open, self._is_ended = False, True
                self._pieces = iter(())
                self._give_back(self)


def _drop(lake: Lake) -> None:
    with suppress(duckdb.Error):
        lake.close()


def _refusal(mart: Mart, error: Exception) -> MartRefused:
    if isinstance(error, duckdb.CatalogException):
        return MartRefused("away", f"'{mart.name}' has not been built yet; ask again after its first events")
    if isinstance(error, duckdb.OutOfMemoryException):
        return MartRefused(
            "away", f"'{mart.name}' needs more memory than a read may use; ask without 'limit'"
        )
    return MartRefused("away", "the lake does not answer; ask again")


def _unknown(name: str, known: Sequence[str]) -> str:
    similar = get_close_matches(name, known, n=1)
    if similar:
        return f"there is no mart '{name[:100]}'; did you mean '{similar[0]}'?"
    some = ", ".join(sorted(known)[:20]) or "none so far"
    return f"there is no mart '{name[:100]}'; served are: {some}"
