"""The supervisor's own log, and keeping the logs of a running system small; running.py decides when."""

import logging
import os
import shutil
from pathlib import Path

from ingestion.errors import StorageError
from orchestration.services.process import LOG_LIMIT_BYTES

_OURS = "orchestration"


def own_log(folder: Path) -> logging.Handler:
    """What the supervisor warns of, kept beside its services' logs; the caller closes it with close_log."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "supervisor.log"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600))
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s [%(levelname)-8s] %(message)s"))
    logging.getLogger(_OURS).addHandler(handler)
    return handler


def close_log(handler: logging.Handler) -> None:
    """End it."""
    logging.getLogger(_OURS).removeHandler(handler)
    handler.close()


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
