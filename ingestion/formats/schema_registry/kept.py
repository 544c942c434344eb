"""What a registry has answered, in small files of the data folder: a known stream goes on without it.

A schema never changes under its id, so what is there is right. A file that cannot be read is asked for again.
"""

import hashlib
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import structlog

from ingestion.durable import make_folder

_log = structlog.get_logger(__name__)
_LONGEST_NAME = 150


class Kept:
    """A folder of answers.

    Args:
        folder: Made at the first answer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, *names: str) -> dict[str, Any] | None:
        """An answer; None where there is none."""
        try:
            found = json.loads(self._path(names).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def names(self, kind: str) -> list[str]:
        """What is kept of a kind, the newest last."""
        found = [(each.stat().st_mtime_ns, unquote(each.stem)) for each in (self.folder / kind).glob("*.yml")]
        return [name for _, name in sorted(found)]

    def write(self, *names: str, answer: dict[str, Any]) -> None:
        """Keep an answer; a file that has it already is left as it is, and so is its time."""
        if self.read(*names) == answer:
            return
        path = self._path(names)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
        try:
            make_folder(path.parent)
            with fresh.open("wb") as file:
                file.write(json.dumps(answer, indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
        except OSError as error:
            # The answer is used all the same; only the next process has to ask again.
            _log.warning("a schema is not kept", path=str(path), error=error.strerror or str(error))

    def age_seconds(self, *names: str) -> float:
        """How long ago `touch` was called; infinite where it was not."""
        try:
            return max(0.0, time.time() - self._mark(names).stat().st_mtime)
        except OSError:
            return float("inf")

    def touch(self, *names: str) -> None:
        """Note that it was asked about now."""
        try:
            make_folder(self._mark(names).parent)
            self._mark(names).touch()
        except OSError:
            return  # it is asked about once more

    def forget(self, *names: str) -> None:
        """Undo `touch`: it is asked about again at once."""
        with suppress(OSError):
            self._mark(names).unlink(missing_ok=True)

    def _path(self, names: tuple[str, ...]) -> Path:
        return self.folder.joinpath(*map(_file_name, names)).with_name(f"{_file_name(names[-1])}.yml")

    def _mark(self, names: tuple[str, ...]) -> Path:
        return self._path(names).with_suffix(".asked")


def _file_name(text: str) -> str:
    name = quote(text, safe=" ") if text.strip(".") else f"%{text}"
    return name if len(name) <= _LONGEST_NAME else hashlib.sha256(text.encode()).hexdigest()
