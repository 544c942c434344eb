"""The demo's data folder: only a new one or an earlier demo's is used, and that is wiped first.

A real lake is never touched, and what somebody has added to a demo's folder is named before it goes.
"""

import shutil
from contextlib import closing
from pathlib import Path

from ingestion.data_folder import DEMO_MARKER, DEMO_PROJECT, SYSTEM_LOCK, is_demo
from ingestion.declare.stream import RESERVED_NAMES
from ingestion.errors import ConfigError
from ingestion.project import REACTIONS_FILE
from ingestion.spool.log import SpoolLog
from orchestration.demo.reactions import are_edited
from orchestration.demo.streams import GUEST_NAMES, PLANT_NAMES
from orchestration.fingerprint import fingerprint
from orchestration.services.postgres import EmbeddedPostgres

_HARMLESS = frozenset({SYSTEM_LOCK, "collector", "dbt", "extensions", "logs", "run", "tmp"})
_PROJECT_AS_MADE = "project.fingerprint"
_OWN_STREAMS = PLANT_NAMES | GUEST_NAMES | RESERVED_NAMES


def require_demo_folder(data_dir: Path) -> None:
    """Raise ConfigError unless the folder is new, or marked as a demo's."""
    if is_demo(data_dir) or not data_dir.exists():
        return
    if {path.name for path in data_dir.iterdir()} - _HARMLESS:
        raise ConfigError(
            f"{data_dir} holds a lake or other data that does not belong to a demo, and the demo would "
            "delete it: choose another folder, as in 'millrace --data-dir .millrace-demo demo'"
        )


def added_by_others(data_dir: Path) -> list[str]:
    """What a demo's folder holds that no demo has made.

    Args:
        data_dir: Has passed require_demo_folder; no system runs on it.

    Returns:
        A few words for each: rows of streams that the plant does not have, edits of the demo's own files.
    """
    if not is_demo(data_dir):
        return []
    raw, spool = data_dir / "lake" / "raw", data_dir / "spool"
    holding = {path.relative_to(raw).parts[0] for path in raw.rglob("*.parquet")}
    holding |= {path.name for path in spool.glob("*") if _spooled(path)}
    others = sorted(name for name in holding - _OWN_STREAMS if not name.startswith("_"))  # _dlt_… are dlt's
    found = [f"events of '{name}'" for name in others]
    as_made = data_dir / _PROJECT_AS_MADE
    if as_made.is_file() and as_made.read_text() != _state(data_dir / DEMO_PROJECT):
        found.append(f"edits in {data_dir / DEMO_PROJECT}")
    if are_edited(data_dir):
        found.append(f"edits in {data_dir / REACTIONS_FILE}")
    return found


def remember_project(data_dir: Path) -> None:
    """Note how the demo has made its own project, so that edits of it are seen."""
    (data_dir / _PROJECT_AS_MADE).write_text(_state(data_dir / DEMO_PROJECT))


def _spooled(folder: Path) -> bool:
    with closing(SpoolLog(folder.name, folder.parent)) as log:
        return any(bound.begin < bound.end for bound in log.bounds().values())


def _state(project: Path) -> str:
    return fingerprint([project, project / ".env"])


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
