"""A folder of files with which BI tools open the marts in PostgreSQL: whole or not at all, and no password.

What each file is, is in tableau.py and power_bi.py; where the marts are, in serving/look.py.
"""

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ingestion.errors import ConfigError, ServingUnavailable, StorageError
from ingestion.settings import Settings
from orchestration.export.power_bi import power_bi_files
from orchestration.export.tableau import tableau_files
from orchestration.serving.look import look
from orchestration.serving.published import read_tables


def write_tool_files(settings: Settings, folder: Path) -> list[Path]:
    """Write the files for Tableau and Power BI.

    Args:
        settings: Where the marts are.
        folder: Made; it may be there if it is empty.

    Returns:
        The files, relative to the folder.

    Raises:
        ServingUnavailable: The database does not answer, listens on no port, or nothing is published yet.
        ConfigError: There is something in the folder.
        StorageError: The files cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there and not empty: name a new folder for the files of BI tools")
    door, _ = look(settings)
    if door.is_socket:
        raise ServingUnavailable(
            "the marts listen on a socket only, which Tableau and Power BI cannot open: set "
            "MILLRACE_SERVING_PORT (5433, say) and start 'millrace up' again"
        )
    tables = read_tables(settings)
    if not tables:
        raise ServingUnavailable("no mart is published yet: 'millrace serving' shows when one is")
    files = {**tableau_files(door, tables), **power_bi_files(door, tables)}
    _put_in_place(folder, files.items())
    return sorted(files)


def _put_in_place(folder: Path, files: Iterable[tuple[Path, str]]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for path, text in files:
                (work / path).parent.mkdir(parents=True, exist_ok=True)
                (work / path).write_text(text, encoding="utf-8")
            work.rename(folder)  # also onto an empty one; never onto files that came meanwhile
        finally:
            with suppress(OSError):
                shutil.rmtree(work)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}") from None
