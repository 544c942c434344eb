"""Small JSON files that are replaced as a whole: a reader sees the old content or the new one."""

import json
import os
from pathlib import Path

from ingestion.errors import StorageError


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Replace a file, making its folder where needed.

    Args:
        path: The file.
        value: What JSON can tell.
        durable: Flush it to the disk before the old one goes; without, a power failure may empty it.

    Raises:
        StorageError: The file cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=1))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); free that disk or repair its permissions"
        ) from None
