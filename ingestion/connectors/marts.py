"""What a kind that answers questions needs of marts; who reads them is serve/reader.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from ingestion.errors import MillraceError

Notation = Literal["json", "csv", "arrow"]
Reason = Literal["unknown", "wrong", "expired", "away"]


class MartRefused(MillraceError):
    """A question that is not answered.

    Args:
        reason: unknown: there is no such mart, page or version; wrong: it cannot be asked so; expired: the
            lake no longer has that version; away: it does not answer, or the mart has not been built yet.
        message: One sentence with the remedy.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True)
class Wanted:
    """A question.

    Attributes:
        mart: Whose rows.
        notation: How they are written.
        since: Only what has changed after this version of the lake; None: all rows.
        limit: At most so many rows; None: all, as a stream.
        page: What the page before named as the next one; empty for the first.
    """

    mart: str
    notation: Notation
    since: int | None = None
    limit: int | None = None
    page: str = ""


@dataclass(frozen=True)
class Head:
    """What is known before the first row.

    Attributes:
        snapshot: The version of the lake that is read.
        whole: All rows are given: none was asked to be left out, or the mart was replaced since.
        streams: That the mart follows from.
        next_page: For the rows that follow; empty when there are none.
        fresh_to: Stream → the time of its newest event that the mart has, as its broker stamped it.
        complete_to: Stream → everything that had come to its broker by then is in the mart.
    """

    snapshot: int
    whole: bool
    streams: Sequence[str] = ()
    next_page: str = ""
    fresh_to: Mapping[str, datetime] = field(default_factory=dict)
    complete_to: Mapping[str, datetime] = field(default_factory=dict)


class MartAnswer(Protocol):
    """An answer that is read piece by piece; from one thread at a time, but for `interrupt`."""

    @property
    def head(self) -> Head: ...  # noqa: D102

    def next(self) -> bytes:
        """The next piece of the body; empty at the end.

        Raises:
            MartRefused: The lake does not answer any more.
        """
        ...

    def interrupt(self) -> None:
        """End what `next` waits for, from another thread."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class MartReader(Protocol):
    """Reads marts; from any thread."""

    def names(self) -> Sequence[str]:
        """The marts that are served."""
        ...

    def open(self, wanted: Wanted) -> MartAnswer:
        """Begin to answer.

        Raises:
            MartRefused: It is not answered, and why.
        """
        ...
