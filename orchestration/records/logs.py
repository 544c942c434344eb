"""The logs of an installation: which files there are, what is new in them, and failed runs as sentences.

How a line is read is in log_lines.py; printing them is the command's (cli/logs.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from orchestration.records.log_lines import LogLine, read_lines

RUNS = "runs"
_FOLDERS = ("logs", "brokers/log", "postgres/log", "postgres/data/log")
_RUN_FOLDER = "logs/runs"
_OLDER = ".log.1"
_EVENTS = "dagster"  # the logger of what Dagster records of a run: of that, the storage has the failure


@dataclass
class ServiceLogs:
    """The log files of a data folder, read from where the last look ended.

    Args:
        data_dir: The data folder.
    """

    data_dir: Path
    _read: dict[Path, int] = field(default_factory=dict)

    def services(self) -> frozenset[str]:
        """Who has a log here; PostgreSQL's files count as one."""
        return frozenset(_service(path) for path in self._files())

    def new(self, *, since: datetime) -> list[LogLine]:
        """What was written since a moment and since the last call, oldest first.

        Of what the process of a run wrote, warnings and errors.

        Args:
            since: UTC.
        """
        found = [line for path in self._files() for line in self._of(path, _service(path), since=since)]
        for path in (self.data_dir / _RUN_FOLDER).glob("*.log"):
            found += [
                replace(line, text=f"run {path.stem[:8]}: {line.text}")
                for line in self._of(path, RUNS, since=since)
                if line.level in ("warning", "error") and line.logger != _EVENTS
            ]
        return sorted((line for line in found if line.at >= since), key=lambda line: line.at)

    def _files(self) -> list[Path]:
        found = [path for folder in _FOLDERS for path in (self.data_dir / folder).glob("*.log*")]
        # A file that was emptied left its lines in .log.1, which must be read before it.
        return sorted(found, key=lambda path: (str(path).removesuffix(".1"), not path.name.endswith(_OLDER)))

    def _of(self, path: Path, service: str, *, since: datetime) -> Iterator[LogLine]:
        try:
            status = path.stat()
            written = datetime.fromtimestamp(status.st_mtime, UTC)
            begin = self._read.get(path, 0)
            if begin > status.st_size:
                begin = 0  # emptied meanwhile
            if written < since or begin == status.st_size:
                return
            with path.open("rb") as file:
                file.seek(begin)
                content = file.read(status.st_size - begin)
        except OSError:  # it was moved or belongs to another user
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._read[path] = begin + len(whole)
        lines = whole.decode(errors="replace").splitlines()
        yield from read_lines(lines, service=service, otherwise=written)


def _service(path: Path) -> str:
    name = path.name.partition(".log")[0]
    return "postgres" if name.startswith("postgres") else name
