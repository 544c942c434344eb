"""Whether a data folder can hold a system, asked before anything is started there."""

import os
import shutil
from pathlib import Path

from ingestion.errors import StorageError

_LEAST_FREE_BYTES = 512 * 2**20
_UNREAD = ("dbt/broken.json", "dbt/failing.json")
"""Files of earlier releases that nothing reads any more."""


def require_usable(data_dir: Path) -> None:
    """Create the data folder if it is missing, and require that it can be written and has room.

    What earlier releases left there and nothing reads any more is removed.

    Raises:
        StorageError: It is not; the message has the remedy.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data_dir / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
        for name in _UNREAD:
            (data_dir / name).unlink(missing_ok=True)
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        raise StorageError(
            f"the data folder {data_dir} cannot be written ({error.strerror}): correct its permissions "
            "or name another with MILLRACE_DATA_DIR"
        ) from None
    if free < _LEAST_FREE_BYTES:
        raise StorageError(
            f"the disk of {data_dir} has only {free / 2**20:.0f} MiB left: make room or name another folder "
            "with MILLRACE_DATA_DIR"
        )
