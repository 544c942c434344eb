"""Which project a demo runs: the current one if it is a plant's, else the example, in the data folder.

So a demo needs no project, and never runs on a user's own streams. With guests, whose streams no project of a
plant declares, it is always a copy.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ingestion.data_folder import DEMO_PROJECT
from ingestion.declare.file import load_streams
from ingestion.errors import ConfigError
from ingestion.project import DBT_FOLDER, STREAMS_FILE, is_project
from ingestion.settings import Settings
from orchestration.dbt.prepared import prepare_project
from orchestration.demo.folder import remember_project
from orchestration.demo.guests import Guest
from orchestration.demo.streams import PLANT_NAMES
from orchestration.scaffold.new import create_project

A_QUERY = "from marts.machine_status"
"""What a first look at the demo's lake may ask."""


def plant_project(current: Settings, guests: Sequence[Guest] = ()) -> Path:
    """A project with the streams that the plant sends to.

    Args:
        current: The settings here, with the demo's data folder, which was wiped.
        guests: Brokers whose streams it has besides.

    Returns:
        The current project, if it declares them, so that edits of it show; else a new one in the data folder.
    """
    is_plant = is_project(current.project) and _is_plant(current.project)
    if is_plant and not guests:
        return current.project
    folder = current.data_dir / DEMO_PROJECT
    create_project(folder, example="plant", files=current.project if is_plant else None)
    for guest in guests:
        shutil.copytree(guest.files / DBT_FOLDER, folder / DBT_FOLDER, dirs_exist_ok=True)
        with (folder / STREAMS_FILE).open("a", encoding="utf-8") as file:
            file.write((guest.files / STREAMS_FILE).read_text(encoding="utf-8"))
    prepare_project(load_streams(folder / STREAMS_FILE), folder / DBT_FOLDER)
    remember_project(current.data_dir)
    return folder


def _is_plant(project: Path) -> bool:
    try:
        return {stream.name for stream in load_streams(project / STREAMS_FILE)} >= PLANT_NAMES
    except ConfigError:
        return False
