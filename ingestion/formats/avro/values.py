"""Single values as JSON: numbers that JSON lacks, bytes, and the logical types. Each says the value whole.

A time outside the years 1 to 9999 stays the number that was sent. The table: docs/formats/avro.md.
"""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

from ingestion.formats.canonical import base64_text, number

Convert = Callable[[Any], Any]

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal()
_DAY_SECONDS = 86_400
_MOST_SCALE = 1_000
"""Beyond, a schema could ask for a text of any length; the bytes are shown."""
_DIGITS = {"millis": 3, "micros": 6, "nanos": 9}


def day(value: int) -> str | int:
    """A number of days since 1970 as a date."""
    ordinal = value + _EPOCH_DAY
    return date.fromordinal(ordinal).isoformat() if 1 <= ordinal <= _LAST_DAY else value


def _clock(value: int, digits: int) -> str:
    """A time of day of so many parts of a second."""
    seconds, part = divmod(value, 10**digits)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{part:0{digits}}"


def _time_of_day(digits: int) -> Convert:
    day_length = _DAY_SECONDS * 10**digits
    return lambda value: _clock(value, digits) if 0 <= value < day_length else value


def _timestamp(digits: int, zone: str) -> Convert:
    day_length = _DAY_SECONDS * 10**digits

    def text(value: int) -> str | int:
        days, rest = divmod(value, day_length)
        which = day(days)
        return value if which == days else f"{which}T{_clock(rest, digits)}{zone}"

    return text


def _decimal(scale: int) -> Convert:
    def text(value: bytes) -> str:
        unscaled = int.from_bytes(value, "big", signed=True)
        digits = f"{abs(unscaled):0{scale + 1}}"
        whole, part = (digits[:-scale], f".{digits[-scale:]}") if scale else (digits, "")
        return f"{'-' if unscaled < 0 else ''}{whole}{part}"

    return text


def _duration(value: bytes) -> dict[str, int]:
    months, days, millis = (int.from_bytes(value[at : at + 4], "little") for at in (0, 4, 8))
    return {"months": months, "days": days, "millis": millis}


def logical(node: Any) -> Convert | None:
    """How a type's logical type is written; None where it has none, or one that does not fit it."""
    if not isinstance(node, dict) or "logicalType" not in node:
        return None
    kind, word = node["type"], str(node["logicalType"])
    if word == "decimal" and kind in ("bytes", "fixed") and 0 <= node.get("scale", 0) <= _MOST_SCALE:
        return _decimal(node.get("scale", 0))
    if word == "uuid" and kind == "fixed" and node["size"] == 16:
        return lambda value: str(UUID(bytes=value))
    if word == "duration" and kind == "fixed" and node["size"] == 12:
        return _duration
    if word == "date" and kind == "int":
        return day
    what, _, unit = word.rpartition("-")
    if what == "time" and (kind, unit) in (("int", "millis"), ("long", "micros")):
        return _time_of_day(_DIGITS[unit])
    if what in ("timestamp", "local-timestamp") and kind == "long" and unit in _DIGITS:
        return _timestamp(_DIGITS[unit], "Z" if what == "timestamp" else "")
    return None


def plain(node: Any) -> Convert | None:
    """The function of a type that holds no others; None where its values are right as they are."""
    found = logical(node)
    if found is not None or isinstance(node, list):
        return found
    kind = node["type"] if isinstance(node, dict) else node
    others: dict[str, Convert] = {
        "bytes": base64_text, "fixed": base64_text, "float": number, "double": number,
    }  # fmt: skip
    return others.get(kind)
