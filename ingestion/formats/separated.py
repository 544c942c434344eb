"""Whether texts look like separated values: the delimiter, a header, and the names of columns."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingestion.formats.likeness import GUESS, LIKELY, STRUCTURE

_VALUE = re.compile(
    r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?|\d{4}-\d\d-\d\d([T ]\d\d:\d\d\S*)?|\d\d[./]\d\d[./]\d{4}|true|false",
    re.IGNORECASE,
)
_NAME = re.compile(r"[^\W\d][^\n\r]{0,59}")
_MARKUP = ("{", "[", "<")
_MILLISECONDS = re.compile(r"\d\d:\d\d:\d\d,\d{3}[\] ]")
"""As Python's logging writes a time: a comma that separates no values."""
_WORDS_OF_PROSE = 6
_FEW = 3


@dataclass(frozen=True)
class Separated:
    """What texts look like.

    Attributes:
        level: How sure it is (likeness.py).
        delimiter: Between two values.
        found: How many of the texts have it.
        width: How many values a record has.
        columns: Their names: those of a text that holds nothing else, or made up; empty with a header.
        header: Each text begins with a line of names.
        lines: Some text holds several records.
        named: The columns' names come from a text.
    """

    level: float
    delimiter: str
    found: int
    width: int
    columns: tuple[str, ...]
    header: bool
    lines: bool
    named: bool


def find_separated(texts: Sequence[str], delimiters: Iterable[str]) -> Separated | None:
    """What texts look like with the delimiter that fits most of them; None where none fits.

    Args:
        texts: At least one.
        delimiters: To try; an earlier one is preferred.
    """
    tries = [each for delimiter in delimiters if (each := _with(texts, delimiter)) is not None]
    return max(tries, key=lambda each: (each.found, each.level), default=None)


def _with(texts: Sequence[str], delimiter: str) -> Separated | None:
    messages = [records for text in texts if (records := _records(text, delimiter))]
    widths = Counter(len(record) for records in messages for record in records)
    width = max(widths, key=lambda each: (widths[each], each), default=0)
    messages = [each for each in messages if all(len(record) == width for record in each)]
    if width < 2 or not messages:
        return None
    header = all(len(each) > 1 and _is_header(each[0]) for each in messages)
    rows = [record for each in messages for record in (each[1:] if header else each)]
    names: Sequence[str] = ()
    if not header and len(rows) > 1:
        headers = [row for row in rows if _is_header(row)]
        if len(headers) == 1 and rows != headers:
            names = headers[0]
            rows.remove(headers[0])
    level = _level(rows, named=header or bool(names))
    columns = () if header else tuple(names) or tuple(f"column_{at}" for at in range(1, width + 1))
    several = any(len(each) > 1 for each in messages)
    return Separated(
        level, delimiter, len(messages), width, columns, header, several and not header, bool(names)
    )


def _records(text: str, delimiter: str) -> list[list[str]]:
    """The records of a text; none where it is not of separated values."""
    if text.lstrip().startswith(_MARKUP) or (delimiter == "," and _MILLISECONDS.search(text)):
        return []
    try:
        return [
            record
            for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            if record
        ]
    except csv.Error:
        return []


def _is_header(record: Sequence[str]) -> bool:
    names = [cell.strip() for cell in record]
    return len(set(names)) == len(names) and all(
        _NAME.fullmatch(name) and not _VALUE.fullmatch(name) for name in names
    )


def _level(rows: Sequence[Sequence[str]], *, named: bool) -> float:
    """How sure it is, by what stands in the columns."""
    columns = list(zip(*rows, strict=True))
    typed = sum(_is_typed(column) for column in columns)
    cells = [cell for row in rows for cell in row]
    loose = all(row[1].startswith(" ") for row in rows)  # as after the commas of a sentence
    wordy = sum(len(cell.split()) for cell in cells) > _WORDS_OF_PROSE * len(cells)
    if wordy or (loose and typed < len(columns)):
        return GUESS / 2
    if typed:
        return STRUCTURE if len(rows) > 1 else LIKELY
    return (LIKELY if named else GUESS * 1.5) if len(rows) >= _FEW else GUESS / 2


def _is_typed(column: Sequence[str]) -> bool:
    there = [cell.strip() for cell in column if cell.strip()]
    return bool(there) and all(_VALUE.fullmatch(cell) for cell in there)
