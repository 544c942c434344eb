"""A run says what it begins, so that the warm process can end one that does not get on (warm/stall.py)."""

import itertools
from contextlib import suppress

from ingestion.errors import StorageError
from ingestion.json_file import write_json
from ingestion.settings import Settings
from orchestration.keys import HANGING_TAG

_numbers = itertools.count(1)


def begin(settings: Settings, run_id: str, doing: str, *, stream: str = "", computes: bool = False) -> None:
    """Say what begins.

    Args:
        settings: Of the run.
        run_id: The run.
        doing: In a few words, as the rest of "while".
        stream: The stream that is to blame if this does not end.
        computes: Whether it may take as long as it likes while the process computes; what is bounded by
            itself, as a batch is, may not.
    """
    file = settings.data_dir / "logs" / "runs" / f"{run_id}.stage"
    said = {
        "doing": doing,
        "computing_counts": computes,
        "tags": {HANGING_TAG: stream} if stream else {},
        "number": next(_numbers),
    }
    with suppress(StorageError):  # what has to write there reports a full disk
        if file.parent.is_dir():  # else no warm process waits for it
            write_json(file, said)
