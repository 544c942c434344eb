"""Syslog messages of RFC 5424, with or without the octet count of RFC 6587 before them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ingestion.formats.each import as_json, read_each
from ingestion.formats.likeness import CERTAIN, Likeness, Sample, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.text import NOT_UTF8

NOT_SYSLOG = "not_syslog"
_LARGEST_PRIORITY = 191
_WORDS = ("host_name", "app_name", "process_id", "message_id")
_COUNT = re.compile(rb"(\d{1,9}) (?=<)")
_HEADER = re.compile(
    rb"<(0|[1-9]\d{0,2})>([1-9]\d{0,2}) "
    rb"(-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
)
_ELEMENT = re.compile(
    rb'\[([^\x00-\x20="\]\x7f-\xff]{1,32})((?: [^\x00-\x20="\]\x7f-\xff]{1,32}="(?:[^"\\\]]|\\.)*+")*+)\]',
    re.DOTALL,
)
_PARAMETER = re.compile(rb' ([^ =]+)="((?:[^"\\\]]|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(rb'\\(["\\\]])')
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class SyslogFormat:
    """One message: its header, its structured data, its text."""

    name: str = "syslog"
    options: type[FormatOptions] = FormatOptions
    reasons: frozenset[str] = frozenset({NOT_SYSLOG, NOT_UTF8})
    keeps_bytes: bool = True
    libraries: tuple[str, ...] = ()
    extra: str = ""

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Read each message."""
        return read_each(events, around, _read)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are whole messages of it."""
        found = sum(isinstance(_read(each.value, None), bytes) for each in samples)
        what = "the priority, version and time with which syslog (RFC 5424) begins, as '<34>1 2026-…',"
        return likeness(CERTAIN, found, samples, what)


def _read(value: bytes, headers: str | None) -> bytes | Refusal:
    counted = _COUNT.match(value)
    if counted:
        value = value[counted.end() :]
        if len(value) != int(counted[1]):
            return Refusal(NOT_SYSLOG, f"its octet count is {counted[1].decode()}, {len(value)} bytes follow")
    header = _HEADER.match(value)
    if header is None:
        return Refusal(
            NOT_SYSLOG, "it does not begin with '<priority>version time host app process message '"
        )
    priority = int(header[1])
    if priority > _LARGEST_PRIORITY:
        return Refusal(NOT_SYSLOG, f"its priority is {priority}, the largest is {_LARGEST_PRIORITY}")
    try:
        found: dict[str, Any] = {
            "facility": priority // 8,
            "severity": priority % 8,
            "version": int(header[2]),
            "time": _said(header[3]),
            **{name: _said(header[4 + at]) for at, name in enumerate(_WORDS)},
        }
        data, end = _data(value, header.end())
        if end < 0:
            return Refusal(NOT_SYSLOG, f"its structured data is not well-formed at byte {-end}")
        text = value[end + 1 :]
        found |= {"data": data, "message": text.removeprefix(_MARK).decode() if end < len(value) else None}
    except UnicodeDecodeError as error:
        return Refusal(NOT_UTF8, str(error))
    return as_json(found)


def _said(word: bytes) -> str | None:
    return None if word == b"-" else word.decode("ascii")


def _data(value: bytes, start: int) -> tuple[dict[str, dict[str, Any]] | None, int]:
    """The structured data, and where it ends; a negative end is where it is wrong."""
    if value[start : start + 1] == b"-":
        end = start + 1
        return None, end if value[end : end + 1] in (b"", b" ") else -end
    found: dict[str, dict[str, Any]] = {}
    at = start
    while element := _ELEMENT.match(value, at):
        name = element[1].decode("ascii")
        if name in found:
            return None, -at
        found[name] = _parameters(element[2])
        at = element.end()
    return found, at if found and value[at : at + 1] in (b"", b" ") else -at


def _parameters(text: bytes) -> dict[str, Any]:
    """Names and values; a name that stands several times has an array of its values."""
    found: dict[str, Any] = {}
    for parameter in _PARAMETER.finditer(text):
        name, value = parameter[1].decode("ascii"), _ESCAPED.sub(rb"\1", parameter[2]).decode()
        if name in found:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
        else:
            found[name] = value
    return found


SYSLOG = SyslogFormat()
