"""Keeps the logs of a running system small; running.py decides when."""

import os
import shutil
from pathlib import Path

from ingestion.errors import StorageError
from orchestration.services.process import LOG_LIMIT_BYTES


def trim_logs(folder: Path) -> None:
    """Keep each log below its limit: a long one is copied to `.log.1` and emptied; its writer continues.

    Raises:
        StorageError: One of them could not be moved; the others are.
    """
    failure: StorageError | None = None
    for path in folder.glob("*.log"):
        try:
            if path.stat().st_size > LOG_LIMIT_BYTES:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)  # writers append, so they continue at the new end
        except OSError as error:
            failure = StorageError(
                f"{path} keeps growing, because it cannot be moved to {path.stem}.log.1 "
                f"({error.strerror or error}); "
                "free that disk or repair its permissions"
            )
    if failure is not None:
        raise failure
