"""The demo's data folder: only a new one or an earlier demo's is used, and that is wiped first.

A real lake is never touched.
"""

import shutil
from pathlib import Path

from ingestion.errors import ConfigError
from ingestion.settings import DEMO_MARKER, SYSTEM_LOCK
from orchestration.services.postgres import EmbeddedPostgres

_HARMLESS = frozenset({SYSTEM_LOCK, "collector", "dbt", "extensions", "logs", "run", "tmp"})


def require_demo_folder(data_dir: Path) -> None:
    """Raise ConfigError unless the folder is new, or marked as a demo's."""
    if (data_dir / DEMO_MARKER).is_file() or not data_dir.exists():
        return
    if {path.name for path in data_dir.iterdir()} - _HARMLESS:
        raise ConfigError(
            f"{data_dir} holds a lake or other data that does not belong to a demo, and the demo would "
            "delete it: choose another folder, as in 'millrace --data-dir .millrace-demo demo'"
        )


def wipe(data_dir: Path) -> None:
    """Empty a demo's folder and mark it. The caller holds the folder's lock.

    Args:
        data_dir: Has passed require_demo_folder.
    """
    marker = data_dir / DEMO_MARKER
    if marker.exists():
        # A server that outlived a killed demo would write into the new one's files.
        EmbeddedPostgres(data_dir / "postgres").stop()
        for path in data_dir.iterdir():
            if path.name in (SYSTEM_LOCK, DEMO_MARKER):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    marker.write_text("A demo's lake: wiped when the next demo starts.\n", encoding="utf-8")
