"""`millrace logs`: what the services wrote and which runs failed, in one format, by time.

Reading the files is records/logs.py's.
"""

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from rich.text import Text

from ingestion.data_folder import system_is_running
from ingestion.errors import ConfigError, MillraceError
from ingestion.settings import Settings
from orchestration.cli.context import complain, err, out
from orchestration.records.log_lines import LogLine
from orchestration.records.logs import RUNS, ServiceLogs
from orchestration.records.reader import DagsterRecords

_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}
_LOOK_SECONDS = 0.5
_COLOURS = {"debug": "dim", "info": "", "warning": "yellow", "error": "red"}


def parse_since(text: str, *, now: datetime) -> datetime:
    """A span before now, as in 90s, 30min, 2h or 7d, or a time (UTC) → a moment.

    Raises:
        ConfigError: It is neither.
    """
    span = re.fullmatch(r"(\d+(?:\.\d+)?) *(s|min|m|h|d)", text.strip())
    if span:
        return now - timedelta(seconds=float(span[1]) * _SECONDS[span[2]])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"--since {text!r} is neither a span nor a time: write 30min, 2h, 7d or 2026-03-01T12:00"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def logs(
    settings: Settings, *, service: str | None, since: str, errors: bool, follow: bool, as_json: bool
) -> int:
    """Print the records of a time, and go on with new ones if wanted.

    Args:
        settings: Where the data folder is.
        service: Of one service only; "runs" for failed runs.
        since: As parse_since reads it.
        errors: Only what failed.
        follow: Go on until Ctrl-C.
        as_json: One JSON object a line.

    Returns:
        The exit code.

    Raises:
        ConfigError: There is no such service, or no log at all.
    """
    moment = parse_since(since, now=datetime.now(UTC))
    reader = _Reader(settings, moment)
    known = sorted(reader.files.services() | {RUNS})
    if known == [RUNS]:
        raise ConfigError(f"there are no logs in {settings.data_dir}: 'millrace up' or 'demo' writes them")
    if service is not None and service not in known:
        raise ConfigError(f"there is no log of '{service}'; there are {', '.join(known)}")

    def wanted(lines: Iterable[LogLine]) -> Iterator[LogLine]:
        for line in lines:
            if (service is None or line.service == service) and line.level in (
                ("error",) if errors else ("info", "warning", "error")
            ):
                yield line

    shown = _print(wanted(reader.new()), as_json=as_json)
    if not shown and not follow and not as_json:
        what = "nothing failed" if errors else "nothing was written"
        err.print(f"{what} since {moment:%Y-%m-%d %H:%M} UTC; --since 7d looks further back", style="dim")
    while follow:
        time.sleep(_LOOK_SECONDS)
        _print(wanted(reader.new()), as_json=as_json)
    return 0


class _Reader:
    """Files and runs, from the last look on."""

    def __init__(self, settings: Settings, since: datetime) -> None:
        self.files = ServiceLogs(settings.data_dir)
        self._settings, self._since = settings, since
        self._records = DagsterRecords(settings)
        self._told: set[str] = set()
        self._complaint = ""

    def new(self) -> list[LogLine]:
        lines = [*self.files.new(since=self._since), *self._failed()]
        return sorted(lines, key=lambda line: line.at)

    def _failed(self) -> list[LogLine]:
        try:
            failed = self._records.failures(since=self._since)
        except MillraceError as error:
            if not self._complaint and system_is_running(self._settings.data_dir):
                complain(f"failed runs are not shown: {error}")
            elif not self._complaint:
                err.print("failed runs are not shown: nothing runs on this data folder", style="dim")
            self._complaint = str(error)
            return []
        fresh = [run for run in failed if run.run_id not in self._told]
        self._told |= {run.run_id for run in fresh}
        return [
            LogLine(run.ended_at, RUNS, "error" if run.status == "FAILURE" else "warning", run.sentence)
            for run in fresh
        ]


def _print(lines: Iterable[LogLine], *, as_json: bool) -> int:
    count = 0
    for line in lines:
        count += 1
        if as_json:
            record = {"at": line.at.isoformat(), "service": line.service, "level": line.level}
            sys.stdout.write(json.dumps(record | {"text": line.text, "more_lines": line.more}) + "\n")
            sys.stdout.flush()
        else:
            more = f" (+{line.more} lines)" if line.more else ""
            out.print(
                Text.assemble(
                    (f"{line.at:%m-%d %H:%M:%S} ", "dim"), (f"{line.service:<11} ", "bold"),
                    (f"{line.level:<7} ", _COLOURS[line.level]), line.text, (more, "dim"),
                )
            )  # fmt: skip
    return count
