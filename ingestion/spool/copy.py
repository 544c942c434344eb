"""The spool's part of a backup: what was acknowledged to the broker and is not in the lake at one instant.

Segments are held open from before that instant to after it: a batch that trims one does not take it away.
"""

import os
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ingestion.spool.frames import LOG_ID_FILE, read_log_id, segment_path, segments
from ingestion.spool.shift import SHIFT_FILE
from ingestion.spool.unrouted import SETTLED_FILE


class SpoolHold:
    """Open segments of all spools below a folder.

    Args:
        folder: Holds one folder per stream; may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._segments: dict[Path, IO[bytes]] = {}

    def hold(self) -> list[Path]:
        """Open every segment that is there and not open yet.

        Returns:
            The newest of each stream. Segments begin and are trimmed in order: as long as it is there, no
            segment came and went since.
        """
        newest = []
        for folder in sorted(self._folder.iterdir()) if self._folder.is_dir() else []:
            found = [segment_path(folder, first) for first in segments(folder)] if folder.is_dir() else []
            for path in found:
                if path not in self._segments:
                    with suppress(FileNotFoundError):
                        self._segments[path] = self._stack.enter_context(path.open("rb"))
            newest += found[-1:]
        return newest

    def write(self, folder: Path) -> dict[str, int]:
        """Copy what is held, durably; a frame that is half written at the end is cut by whoever opens it.

        Returns:
            Path below `folder` → bytes.
        """
        sizes = {}
        for log in sorted({path.parent for path in self._segments}):
            if log_id := read_log_id(log):
                (folder / log.name).mkdir(parents=True)
                (folder / log.name / LOG_ID_FILE).write_text(log_id, encoding="ascii")
                sizes[f"{log.name}/{LOG_ID_FILE}"] = len(log_id)
                for name in (SHIFT_FILE, SETTLED_FILE):
                    if (beside := log / name).exists():
                        shutil.copy2(beside, folder / log.name / name)
                        sizes[f"{log.name}/{name}"] = (folder / log.name / name).stat().st_size
        for path, source in self._segments.items():
            name = f"{path.parent.name}/{path.name}"
            if f"{path.parent.name}/{LOG_ID_FILE}" in sizes:
                with (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
                    target.flush()
                    os.fsync(target.fileno())
                    sizes[name] = target.tell()
        return sizes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
