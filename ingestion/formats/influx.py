"""InfluxDB's line protocol: measurement, tags, fields and a time.

The syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/. Numbers keep their text.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import orjson
import pyarrow as pa

from ingestion.formats.each import array_of, as_json, read_each
from ingestion.formats.likeness import STRUCTURE, Likeness, Sample, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.text import NOT_UTF8, as_utf8

NOT_INFLUX = "not_influx"
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_BARE = re.compile(r"[^, \r\n]++")
_MEASUREMENT = re.compile(r"(?:\\[, ]|[^, \r\n])++")
_KEY = re.compile(r"(?:\\[,= ]|[^,= \r\n])++")
_NUMBER = re.compile(r"(-?)(\d++)?(\.\d*+)?([eE][+-]?\d++)?")
_INTEGER = re.compile(r"(-?\d{1,20})[iu]")
_TIME = re.compile(r"-?\d{1,19}")
_TRUE, _FALSE = {"t", "T", "true", "True", "TRUE"}, {"f", "F", "false", "False", "FALSE"}


class InfluxOptions(FormatOptions):
    """What a stream of line protocol may declare.

    Attributes:
        lines: A message may hold several points, and becomes an array of them.
    """

    lines: bool = False


@dataclass(frozen=True)
class InfluxFormat:
    """`{"measurement": …, "tags": {…}, "fields": {…}, "time": …}`; the time is the number that was sent."""

    name: str = "influx"
    options: type[FormatOptions] = InfluxOptions
    reasons: frozenset[str] = frozenset({NOT_INFLUX, NOT_UTF8, "empty"})
    keeps_bytes: bool = True
    is_text: bool = True
    libraries: tuple[str, ...] = ()
    extra: str = ""

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Read the points of each value."""
        return read_each(events, around, partial(_read, many=cast(InfluxOptions, options).lines))

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are points of it, and whether some hold several."""
        found = [_read(each.value, each.headers, many=True) for each in samples]
        points = [len(orjson.loads(text)) for text in found if isinstance(text, bytes)]
        options = {"lines": True} if max(points, default=0) > 1 else {}
        what = "points of InfluxDB's line protocol, 'name,tag=a field=1 time',"
        return likeness(STRUCTURE, len(points), samples, what, options=options)


class _Wrong(ValueError):
    """A line is not as the protocol says."""


def _read(value: bytes, headers: str | None, *, many: bool) -> bytes | Refusal:
    text = as_utf8(value, headers)
    if isinstance(text, Refusal):
        return text
    try:
        points = _points(text.decode())
    except _Wrong as error:
        return Refusal(NOT_INFLUX, str(error))
    if not points:
        return Refusal("empty", "no point")
    if len(points) > 1 and not many:
        return Refusal(NOT_INFLUX, f"{len(points)} points in one message, which 'lines: true' would allow")
    return array_of(points) if many else points[0]


def _points(text: str) -> list[bytes]:
    """Each line's point as JSON; a text within quotes may hold line ends."""
    found, at = list[bytes](), 0
    while at < len(text):
        if text[at] in "\r\n ":
            at += 1
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            try:
                point, at = _point(text, at)
            except _Wrong as error:
                raise _Wrong(f"point {len(found) + 1}: {error}") from None
            found.append(point)
    return found


def _point(text: str, at: int) -> tuple[bytes, int]:
    measurement, at = _word(_MEASUREMENT, text, at, "the measurement", ", ")
    tags = dict[str, str]()
    while text[at : at + 1] == ",":
        key, at = _word(_KEY, text, at + 1, "the name of a tag", "=")
        _once(key, tags, "tag")
        tags[key], at = _word(_KEY, text, at + 1, f"the value of the tag '{key}'", ", ")
    fields = dict[str, orjson.Fragment]()
    mark = " "
    while text[at : at + 1] == mark:
        key, at = _word(_KEY, text, at + 1, "the name of a field", "=")
        _once(key, fields, "field")
        fields[key], at = _value(text, at + 1, key)
        mark = ","
    if not fields:
        raise _Wrong("it has no field")
    time = None
    if text[at : at + 1] == " ":
        end = min((place for mark in "\r\n" if (place := text.find(mark, at)) >= 0), default=len(text))
        said, at = text[at:end].strip(" "), end
        if said and not _TIME.fullmatch(said):
            raise _Wrong(f"'{said[:40]}' is not a time")
        time = orjson.Fragment(str(int(said)).encode()) if said else None
    if at < len(text) and text[at] not in "\r\n":
        raise _Wrong(f"'{text[at : at + 20]}' follows its fields")
    return as_json({"measurement": measurement, "tags": tags, "fields": fields, "time": time}), at


def _word(pattern: re.Pattern[str], text: str, at: int, what: str, end: str) -> tuple[str, int]:
    """A name or a tag's value, and where it ends."""
    word = pattern.match(text, at)
    if word is None or text[word.end() : word.end() + 1] not in set(end):
        raise _Wrong(f"{what} is missing or does not end")
    return re.sub(r"\\([,= ])", r"\1", word[0]), word.end()


def _value(text: str, at: int, key: str) -> tuple[orjson.Fragment, int]:
    quoted = _TEXT.match(text, at)
    if quoted:
        said = re.sub(r'\\(["\\])', r"\1", quoted[1])
        return orjson.Fragment(as_json(said)), quoted.end()
    bare = _BARE.match(text, at)
    word = bare[0] if bare else ""
    if word in _TRUE or word in _FALSE:
        return orjson.Fragment(b"true" if word in _TRUE else b"false"), at + len(word)
    integer = _INTEGER.fullmatch(word)
    if integer:
        return orjson.Fragment(str(int(integer[1])).encode()), at + len(word)
    number = _NUMBER.fullmatch(word)
    if number is None or not (number[2] or (number[3] or "").strip(".")):
        raise _Wrong(f"'{word[:40]}' is not a value of the field '{key}'")
    return orjson.Fragment(_json_number(number)), at + len(word)


def _json_number(number: re.Match[str]) -> bytes:
    """The digits as JSON writes them: no leading zeros, a digit before the point and after it."""
    whole = (number[2] or "0").lstrip("0") or "0"
    part = "" if number[3] in (None, ".") else number[3]
    return f"{number[1]}{whole}{part}{number[4] or ''}".encode()


def _once(key: str, found: Collection[str], what: str) -> None:
    if key in found:
        raise _Wrong(f"the {what} '{key}' stands twice")


INFLUX = InfluxFormat()
