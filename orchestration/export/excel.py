"""Rows → an Excel sheet. What a cell would change stands there as text, and is counted.

Excel keeps 15 digits of a number, milliseconds, no day before 1900, and 32,767 characters of a text.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from ingestion.errors import ConfigError

MOST_ROWS = 1_048_576
"""Of a sheet, with the one of the names."""
_DIGITS, _MOST = 15, 1_000_000_000_000_000
_CHARACTERS = 32_767
_FIRST_DAY = date(1900, 3, 1)
"""Excel takes 1900 for a leap year: earlier days are off by one."""

_FORMATS = {"datetime": "yyyy-mm-dd hh:mm:ss.000", "date": "yyyy-mm-dd", "time": "hh:mm:ss.000"}


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> tuple[int, list[str]]:
    """Write one sheet.

    Args:
        path: The file.
        columns: Their names.
        rows: Values as DuckDB gives them to Python; times with a zone lose it.

    Returns:
        How many rows, and a sentence for each column of which some values are text.

    Raises:
        ConfigError: A sheet cannot hold so many rows, or a cell so long a text.
        OSError: The file cannot be written.
    """
    import xlsxwriter

    # Text stays text: no formula, link or number is made of what an event brought.
    options = {
        "constant_memory": True, "remove_timezone": True, "nan_inf_to_errors": True,
        "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False,
    }  # fmt: skip
    number, texts = 0, Counter[str]()
    with xlsxwriter.Workbook(path, options) as book:
        formats = {kind: book.add_format({"num_format": text}) for kind, text in _FORMATS.items()}
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, columns, book.add_format({"bold": True}))
        sheet.freeze_panes(1, 0)
        for number, row in enumerate(rows, 1):
            if number >= MOST_ROWS:
                raise ConfigError(
                    f"an Excel sheet holds {MOST_ROWS - 1:,} rows and the answer has more: "
                    "limit the query, or write Parquet or CSV"
                )
            for place, value in enumerate(row):
                written = _cell(value, columns[place], texts)
                sheet.write(number, place, written, formats.get(type(written).__name__))
    said = [
        f"{column}: {count:,} values are text, Excel would change them" for column, count in texts.items()
    ]
    return number, said


def _cell(value: Any, column: str, texts: Counter[str]) -> Any:
    """A value as a cell holds it: what Excel would change is text."""
    if isinstance(value, bool) or value is None or isinstance(value, time):
        return value
    if isinstance(value, date):
        day = value.date() if isinstance(value, datetime) else value
        if day < _FIRST_DAY:
            texts[column] += 1
            return value.isoformat()
        return value
    if isinstance(value, float | int | Decimal):
        if _fits(value):
            return float(value) if isinstance(value, Decimal) else value
        texts[column] += 1
        return str(value)
    text = "\\x" + value.hex() if isinstance(value, bytes) else str(value)
    if len(text.encode("utf-16-le")) > 2 * _CHARACTERS:
        raise ConfigError(
            f"a cell of Excel holds {_CHARACTERS:,} characters and a text of column '{column}' has more: "
            "write Parquet or CSV, or cut it in a model"
        )
    return text


def _fits(value: float | int | Decimal) -> bool:
    if isinstance(value, int):
        return abs(value) < _MOST
    if isinstance(value, Decimal):
        return value.is_finite() and len(value.normalize().as_tuple().digits) <= _DIGITS
    return math.isfinite(value) and float(f"{value:.{_DIGITS}g}") == value
