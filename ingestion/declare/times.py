"""How a field may declare its times: the unit of its numbers, a format, a zone. Parsing them is SQL's work.

The texts that are read without any of these: docs/values.md.
"""

import re
from functools import cache
from typing import Any, Literal, get_args
from zoneinfo import available_timezones

TIME_TYPES = ("timestamp", "date")
Unit = Literal["s", "ms", "us", "ns", "days"]
"""Of numbers since 1970."""
UNITS: tuple[str, ...] = get_args(Unit)

_NAMES = "[A-Za-z]{3,9}"
_PARTS = {
    "%Y": r"\d{4}",
    "%m": r"\d{2}",
    "%-m": r"\d{1,2}",
    "%b": "[A-Za-z]{3}",
    "%B": _NAMES,
    "%d": r"\d{2}",
    "%-d": r"\d{1,2}",
    "%j": r"\d{3}",
    "%G": r"\d{4}",
    "%V": r"\d{2}",
    "%u": "[1-7]",
    "%a": "[A-Za-z]{3}",
    "%A": _NAMES,
    "%H": r"\d{2}",
    "%-H": r"\d{1,2}",
    "%I": r"\d{2}",
    "%-I": r"\d{1,2}",
    "%p": "[AaPp][Mm]",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%g": r"\d{3}",
    "%f": r"\d{6}",
    "%n": r"\d{9}",
    "%z": r"[+-]\d{2}(:?\d{2})?",
    "%%": "%",
}
"""What a format may hold, and the texts that each part stands for. A year has four digits."""
_DAYS = (
    frozenset({"%Y", "month", "day"}),
    frozenset({"%Y", "%j"}),
    frozenset({"%G", "%V", "%u"}),
)
_MONTHS, _MONTH_DAYS = {"%m", "%-m", "%b", "%B"}, {"%d", "%-d"}


def pattern_of(time_format: str) -> str:
    """The regular expression of the texts that a format stands for.

    Raises:
        ValueError: It holds a part that is not known, or does not give a day.
    """
    if set(time_format) & set("{}"):
        raise ValueError(f"the format '{time_format}' holds a brace; dbt would read it as its own")
    parts = re.findall(r"%-?.?|[^%]+", time_format)
    known = [part for part in parts if part.startswith("%")]
    for part in known:
        if part not in _PARTS:
            raise ValueError(f"'{part}' is not a part of a format; use {' '.join(_PARTS)}")
    given = {"month" if part in _MONTHS else "day" if part in _MONTH_DAYS else part for part in known}
    if not any(day <= given for day in _DAYS):
        raise ValueError(f"the format '{time_format}' does not give a day; write %Y, %m and %d, for example")
    if (given & {"%I", "%-I"}) and "%p" not in given:
        raise ValueError(f"the format '{time_format}' has %I, an hour up to 12, but no %p for AM or PM")
    return "".join(_PARTS[part] if part.startswith("%") else re.escape(part) for part in parts)


def check_zone(zone: str) -> str:
    """A time zone's name as it was given.

    Raises:
        ValueError: There is no such zone.
    """
    if zone not in _zones():
        raise ValueError(f"'{zone}' is not a time zone; write a name such as Europe/Berlin or UTC")
    return zone


def format_schema() -> dict[str, Any]:
    """The JSON Schema of a format."""
    return {"type": "string", "examples": ["%Y%m%d", "%d.%m.%Y %H:%M:%S"]}


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
