"""A file of JSON lines that one process appends to, flushed with each; any may read it.

A torn last line, after a crash, counts as not written. What could not be written is kept and written later.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ingestion.durable import make_folder, replace_file
from ingestion.errors import StorageError

_MOST_BYTES = 64 * 2**20

Line = Mapping[str, Any]


def read_lines(path: Path) -> Iterator[Line]:
    """The objects of a file's whole lines, without what nobody understands; nothing where it is missing."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)  # a file that is not ours must not fill the memory
    except OSError:
        return
    for line in content.split(b"\n")[:-1]:  # what follows the last line's end is torn
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


class LineFile:
    """The writer. Not for use by several threads at once.

    Args:
        path: The file.
        count: How many lines it has.
        whole: What a new file would begin with, where the old one is too long or damaged.
        most_lines: A longer file is written as a whole.
    """

    def __init__(
        self, path: Path, *, count: int, whole: Callable[[], Sequence[Line]], most_lines: Callable[[], int]
    ) -> None:
        self._path, self._count, self._whole, self._most_lines = path, count, whole, most_lines
        self._fewest = 0
        self._unwritten: list[Line] = []
        # Its end may be torn, or not on the disk although it can be read: it is written again as a whole.
        self._damaged = path.exists()

    def add(self, line: Line) -> None:
        """Take in a line for the next `write`."""
        self._unwritten.append(line)

    def write(self) -> None:
        """Append what is not in the file yet, and flush it.

        Raises:
            StorageError: The file cannot be written; everything is kept and written with the next call.
        """
        if not self._unwritten:
            return
        try:
            make_folder(self._path.parent)
            # Twice as long as it need be is long enough: else a long one would be written with every line.
            long = self._count + len(self._unwritten) > max(self._most_lines(), 2 * self._fewest)
            if self._damaged or long or not self._path.exists():
                self._rewrite()
            else:
                self._append()
        except OSError as error:
            self._damaged = True
            raise StorageError(
                f"{self._path} cannot be written ({error.strerror or error}); free that disk or repair its "
                "permissions"
            ) from None
        self._unwritten.clear()
        self._damaged = False

    def _append(self) -> None:
        with self._path.open("ab") as file:
            file.write(_text(self._unwritten))
            file.flush()
            os.fsync(file.fileno())
        self._count += len(self._unwritten)

    def _rewrite(self) -> None:
        lines = self._whole()
        replace_file(self._path, _text(lines))
        self._count = self._fewest = len(lines)


def _text(lines: Sequence[Line]) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()
