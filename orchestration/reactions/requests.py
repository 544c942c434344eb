"""What an operator asks of the ledger: files of the data folder that the supervisor, its writer, takes in.

One that was taken in and is still there, after a crash, changes nothing when it is taken in again.
"""

import json
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from ingestion.errors import StorageError
from ingestion.faultpoints import faultpoint
from ingestion.json_file import write_json
from orchestration.reactions.ledger import Ledger

FOLDER = Path("conditions") / "requests"
Wish = Literal["retry", "dismiss", "acknowledge"]


def ask(data_dir: Path, wish: Wish, keys: Sequence[str], *, note: str = "") -> None:
    """Leave a request for the system that runs, or for the next one.

    Args:
        data_dir: The data folder.
        wish: What is to be done.
        keys: With which entries.
        note: Why.

    Raises:
        StorageError: The file cannot be written.
    """
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
    write_json(data_dir / FOLDER / name, {"wish": wish, "keys": list(keys), "note": note}, durable=True)


def take_in(data_dir: Path, ledger: Ledger, *, now: datetime) -> None:
    """Do what was asked for, in that order.

    Args:
        data_dir: The data folder.
        ledger: The ledger.
        now: UTC.

    Raises:
        StorageError: A file cannot be written or removed.
    """
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return
    for file in sorted(folder.glob("*.json")):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            wish, keys, note = found["wish"], [str(key) for key in found["keys"]], str(found["note"])
        except (OSError, ValueError, TypeError, KeyError):
            wish, keys, note = "", [], ""  # not ours, or of another release
        if wish == "retry":
            ledger.retry(keys, request=file.stem, now=now)
        elif wish == "dismiss":
            ledger.dismiss(keys, note=note, request=file.stem, now=now)
        elif wish == "acknowledge":
            ledger.acknowledge(keys, note=note, request=file.stem, now=now)
        faultpoint("reactions.requested")
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{file} cannot be removed ({error.strerror or error}); repair the folder's permissions"
            ) from None
