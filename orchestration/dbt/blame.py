"""From an exception of dbt's parser to the files that have to be corrected.

dbt stops at its first error. Some errors carry the node, most name the file in their text. For the rest, the
file is the one that dbt was working on: a local variable of its parser.
"""

import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

_LINE = re.compile(r"\bline (\d+)")
_HEADING = re.compile(r"^(Compilation|Parsing|Runtime|Validation) Error( in .*)?$")
_REPEATS = ("----", "> in macro", "> called by macro", "LINE ")  # the text of the file, and the way to it
_LONGEST = 300


def blamed(error: Exception, files: Iterable[str], *, folder: Path) -> tuple[str, ...]:
    """The files that an error is about; none when that cannot be seen.

    Args:
        error: What dbt raised.
        files: The project's files, relative to its folder.
        folder: The project's folder.
    """
    known = frozenset(files)
    node = getattr(getattr(error, "node", None), "original_file_path", None)
    if node in known:
        return (node,)
    text = str(error)
    # The YAML reader names a file as it is below its folder of models or seeds.
    for short in (False, True):
        named = [file for file in sorted(known) if _names(text, file.partition("/")[2] if short else file)]
        if named:
            return tuple(named)
    for path in _worked_on(error, folder):
        if path in known:
            return (path,)
    return ()


def reason(error: Exception) -> str:
    """The error in one line, without dbt's headings, cut where it gets long."""
    return in_one_line(str(error)) or type(error).__name__


def in_one_line(message: str) -> str:
    """A message of dbt's in one line, without its headings, cut where it gets long."""
    lines = [line.strip() for line in message.strip().splitlines()]
    # What follows repeats the text of the file.
    end = next((n for n, line in enumerate(lines) if line.startswith(_REPEATS) or line == "Raw Error:"), None)
    kept = [line for line in lines[:end] if line and not _HEADING.match(line) and not _LINE.fullmatch(line)]
    text = " ".join(kept)
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …").rstrip(".")


def line_of(error: Exception) -> int | None:
    """The line that the error names, if it does."""
    found = _LINE.search(str(error))
    return int(found[1]) if found else None


def _names(text: str, file: str) -> bool:
    return bool(file) and re.search(rf"(?<![\w/.-]){re.escape(file)}(?![\w/-])", text) is not None


def _worked_on(error: Exception, folder: Path) -> Iterator[str]:
    """Files in the local variables of the frames that the error came through, the innermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for value in frame.f_locals.values():
            yield from _paths(value, folder)


def _paths(value: Any, folder: Path) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(f"{folder}/"):
            yield value.removeprefix(f"{folder}/")
        return
    if not type(value).__module__.startswith("dbt."):
        return
    for holder in _holders(value):
        path = getattr(holder, "original_file_path", None)
        if isinstance(path, str):
            yield path


def _holders(value: Any) -> Sequence[Any]:
    """A node, a path of dbt's, a file with such a path, a block of such a file."""
    file = getattr(value, "file", None)
    return [value, getattr(value, "path", None), getattr(file, "path", None)]
