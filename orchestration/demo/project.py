"""Which project a demo runs: the current one if it is a plant's, else the example, in the data folder.

So a demo needs no project, and never runs on a user's own streams.
"""

from pathlib import Path

from ingestion.data_folder import DEMO_PROJECT
from ingestion.declare.file import load_streams
from ingestion.errors import ConfigError
from ingestion.project import STREAMS_FILE, is_project
from ingestion.settings import Settings
from orchestration.demo.folder import remember_project
from orchestration.demo.streams import PLANT_NAMES
from orchestration.scaffold.new import create_project

A_QUERY = "from marts.machine_status"
"""What a first look at the demo's lake may ask."""


def plant_project(current: Settings) -> Path:
    """A project with the streams that the plant sends to.

    Args:
        current: The settings here, with the demo's data folder, which was wiped.

    Returns:
        The current project, if it declares them, so that edits of it show; else a new one in the data folder.
    """
    if is_project(current.project) and _is_plant(current.project):
        return current.project
    folder = current.data_dir / DEMO_PROJECT
    create_project(folder, example="plant")
    remember_project(current.data_dir)
    return folder


def _is_plant(project: Path) -> bool:
    try:
        return {stream.name for stream in load_streams(project / STREAMS_FILE)} >= PLANT_NAMES
    except ConfigError:
        return False
