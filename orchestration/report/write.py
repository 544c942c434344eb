"""Makes a report and writes it: to a file that was asked for, or among the kept ones of the data folder."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ingestion.declare.stream import Stream
from ingestion.durable import make_folder, replace_file
from ingestion.errors import StorageError
from ingestion.settings import Settings
from orchestration.report.content import Content, read_content
from orchestration.report.page import page

DAYS = 7.0
REPORTS_FOLDER = "reports"
_KEPT = 30
_PRIVATE = 0o600


def write_report(
    settings: Settings,
    streams: Sequence[Stream],
    *,
    days: float = DAYS,
    path: Path | None = None,
    now: datetime | None = None,
) -> tuple[Path, Content]:
    """Make a report and write it to a file that its owner alone may read.

    Args:
        settings: Where everything is.
        streams: The declared ones.
        days: How far back it goes.
        path: The file, which may be there; without it one of the data folder, where the newest 30 stay.
        now: UTC.

    Returns:
        The file, and what is in it.

    Raises:
        StorageError: The file cannot be written.
    """
    now = now or datetime.now(UTC)
    content = read_content(settings, streams, days=days, now=now)
    kept = settings.data_dir / REPORTS_FOLDER
    file = path or kept / f"report-{now:%Y%m%dT%H%M%SZ}.html"
    try:
        if path is None:
            make_folder(kept, mode=0o700)
        replace_file(file, page(content, settings).encode("utf-8", "replace"), mode=_PRIVATE)
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror or error}") from None
    if path is None:
        _forget_old(kept)
    return file, content


def _forget_old(folder: Path) -> None:
    for old in sorted(folder.glob("report-*.html"))[:-_KEPT]:
        with suppress(OSError):  # the next one tries again
            old.unlink()
