"""Small JSON files that are replaced as a whole: a reader sees the old content or the new one."""

import json
import os
from pathlib import Path

from ingestion.durable import make_folder, replace_file
from ingestion.errors import StorageError


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Replace a file, making its folder where needed.

    Args:
        path: The file.
        value: What JSON can tell.
        durable: It is there with its new content after a power loss; without, it may be empty then.

    Raises:
        StorageError: The file cannot be written. Where it is durable, a power loss may bring either content.
    """
    content = json.dumps(value, indent=1)
    try:
        make_folder(path.parent)
        if durable:
            replace_file(path, content.encode())
        else:
            new = path.with_name(f"{path.name}.new")
            new.write_text(content, encoding="utf-8")
            os.replace(new, path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); free that disk or repair its permissions"
        ) from None
