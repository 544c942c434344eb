"""Small JSON files that are replaced as a whole: a reader sees the old content or the new one."""

import json
import os
from pathlib import Path

from ingestion.errors import StorageError


def write_json(path: Path, value: object) -> None:
    """Replace a file, making its folder where needed. Not flushed: what must survive is in the spool.

    Raises:
        StorageError: The file cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(value, indent=1), encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); free that disk or repair its permissions"
        ) from None
