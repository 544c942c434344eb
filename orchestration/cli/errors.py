"""Exceptions → one sentence that a user can act on. A traceback is shown with -v only."""

import errno
from pathlib import Path

from ingestion.errors import MillraceError

_ONE_SENTENCE = {
    errno.ENOSPC: "the disk is full; make room or name another folder with --data-dir",
    errno.EDQUOT: "the disk quota is used up; make room or name another folder with --data-dir",
    errno.EACCES: "permission denied; correct the folder's permissions or name another with --data-dir",
    errno.EPERM: "permission denied; correct the folder's permissions or name another with --data-dir",
    errno.EROFS: "the file system is read-only; name another folder with --data-dir",
    errno.ENOTDIR: "a part of the path is a file; name another folder with --data-dir",
    errno.EEXIST: "a file is in its place; name another folder with --data-dir",
}


def sentence(error: BaseException) -> str | None:
    """The message of an expected error, or None when it is a defect of Millrace."""
    from orchestration.services.process import ServiceError

    if isinstance(error, MillraceError | ServiceError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _ONE_SENTENCE:
        place = f"{Path(str(error.filename))}: " if error.filename else ""
        return f"{place}{_ONE_SENTENCE[error.errno]}"
    return None


def defect(error: BaseException, *, command: str) -> str:
    """The message for anything else."""
    what = (str(error).strip().splitlines() or [""])[0][:300]
    return (
        f"this is a defect of Millrace ({type(error).__name__}: {what}): "
        f"'millrace -v {command}' shows the traceback to report"
    )
