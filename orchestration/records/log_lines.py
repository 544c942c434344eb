"""The lines of the services' logs, whatever wrote them, as one kind of record.

Where the logs are is in logs.py. Knows no service, only the ways in which programs begin a line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]

_TIME = r"(?P<at>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?)"
_STARTS = tuple(
    re.compile(pattern)
    for pattern in (
        _TIME + r"(?P<utc> UTC) \[\d+\] (?P<level>[A-Z0-9]+): +(?P<text>.*)",  # PostgreSQL
        _TIME + r" \[(?P<level>\w+) *\] (?P<text>.*)",  # structlog, and ours
        _TIME + r" (?P<offset>[+-]\d{4}) - (?P<name>[\w.]+) - (?P<level>[A-Z]+) - (?P<text>.*)",  # Dagster
        _TIME + r"(?P<utc>Z?) +(?P<level>[A-Z]+) +(?P<text>.*)",  # Python's usual, Rust's
        _TIME + r"(?P<utc>Z?) (?P<text>.*)",
        r"(?P<level>[A-Z]+): +(?P<text>.*)",  # uvicorn
        r"(?P<place>\S+\.py:\d+): (?P<level>\w*Warning): (?P<text>.*)",  # Python's warnings
    )
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LEVELS: dict[str, Level] = {
    "DEBUG": "debug", "TRACE": "debug", "WARN": "warning", "WARNING": "warning",
    "ERROR": "error", "FATAL": "error", "PANIC": "error", "CRITICAL": "error",
}  # fmt: skip
_OF_THE_RECORD_BEFORE = frozenset({"DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY"})  # PostgreSQL's
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"^[\w.]+(Error|Exception|Failure|Failed|Interrupt|Unavailable|Warning)\b")
_EXPECTED: tuple[tuple[str, str, Level], ...] = (
    # A server that starts or stops says so to whoever connects; the supervisor tries again.
    ("FATAL", "the database system is starting up", "info"),
    ("FATAL", "the database system is shutting down", "info"),
    ("FATAL", "terminating connection due to administrator command", "info"),
    # Two commits met: DuckLake tries the later one again by itself.
    ("ERROR", 'duplicate key value violates unique constraint "ducklake_', "info"),
    ("ERROR", "could not serialize access", "info"),
    # A lake that is just being made is asked for its version.
    ("ERROR", 'relation "ducklake.millrace_versions" does not exist', "info"),
    # Of a library of Python itself, at the end of a process.
    ("UserWarning", "resource_tracker:", "debug"),
)
"""What a program says louder than it matters here: its level, how it begins, the level that it gets."""


@dataclass(frozen=True)
class LogLine:
    """One record of a log.

    Attributes:
        at: UTC; of a record without a time, that of its neighbour.
        service: Who wrote it.
        level: How much it matters.
        text: A sentence or what comes close; of a traceback, how it ends too.
        more: Further lines that it has in the file.
        logger: Which part of the program wrote it, where the program says so.
    """

    at: datetime
    service: str
    level: Level
    text: str
    more: int = 0
    logger: str = ""


def read_lines(lines: Iterable[str], *, service: str, otherwise: datetime) -> Iterator[LogLine]:
    """Read a log; lines that begin nothing belong to the record before.

    Args:
        lines: Of the file, in order.
        service: Who wrote it.
        otherwise: The time of records before the first that has one.
    """
    record: LogLine | None = None
    at = otherwise
    for raw in lines:
        line = _COLOURS.sub("", raw.rstrip("\n"))
        if not line.strip():
            continue
        found = next((match for match in (start.match(line) for start in _STARTS) if match), None)
        belongs = found is None or found.groupdict().get("level") in _OF_THE_RECORD_BEFORE
        if belongs and record is not None:
            record = _with_more(record, line)
            continue
        if record is not None:
            yield record
        record = _record(line, found.groupdict() if found else {}, service=service, at=at)
        at = record.at
    if record is not None:
        yield record


def _record(line: str, parts: dict[str, str | None], *, service: str, at: datetime) -> LogLine:
    name, text = parts.get("level") or "", (parts.get("text") or line).strip()
    if parts.get("at"):
        offset = "+0000" if parts.get("utc") else parts.get("offset") or ""
        moment = datetime.fromisoformat(str(parts["at"]).replace(",", ".") + offset)
        at = moment.astimezone(UTC)  # one without an offset is of this machine's clock
    level: Level = "warning" if name.endswith("Warning") else _LEVELS.get(name.upper(), "info")
    for loud, beginning, quieter in _EXPECTED:
        if name == loud and text.startswith(beginning):
            level = quieter
    if text.startswith(_TRACEBACK):
        level = "error"
    text = re.sub(" {3,}", "  ", text)  # structlog pads
    return LogLine(at, service, level, text, logger=parts.get("name") or "")


def _with_more(record: LogLine, line: str) -> LogLine:
    """The record with one more line: a traceback's last line says what happened."""
    if line.startswith(_TRACEBACK):
        return replace(record, level="error", more=record.more + 1)
    if _RAISED.match(line):
        text = record.text.removesuffix(_TRACEBACK).split(" | ")[0].strip()
        return replace(record, text=f"{text} | {line.strip()}".removeprefix(" | "), more=record.more + 1)
    return replace(record, more=record.more + 1)
