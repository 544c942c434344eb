"""`cd dbt_project && dbt build` as a modeller types it: in a fresh clone, a new project, a moved one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from orchestration.scaffold.new import create_project
from tests.dbt_project.raw import START, RawWriter, order_event
from tests.dbt_project.test_package import plain_dbt
from tests.repository import REPOSITORY
from tests.scaffold.test_shop import ordered

pytestmark = pytest.mark.slow("three whole builds, each in a process of its own")


def opened(lake: Lake, project: Path) -> RawWriter:
    """Prepare a lake for a project, as `millrace up` does."""
    lake.prepare(stream.name for stream in load_streams(project / "streams.yml"))
    lake.publish_access()
    return RawWriter(lake)


def clone(folder: Path) -> Path:
    """What git has of this repository, and nothing that was made in it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    return folder


def test_in_a_fresh_clone_after_make_env(tmp_path: Path, lake: Lake) -> None:
    project = clone(tmp_path / "clone")
    assert not (project / "dbt_project" / "dbt_packages").exists()
    venv = Path(sys.prefix)  # as it is: what it holds is not the matter here
    make = ["make", "-C", project, "env", f"VENV={venv}", "-o", venv / ".locked"]
    subprocess.run(make, check=True, capture_output=True)
    raw = opened(lake, project)
    raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    plain_dbt(project / "dbt_project", lake.settings.data_dir, "build")
    assert lake.query("select order_id, events from dev_ada.order_progress") == [("ord-1", 1)]


def test_in_a_new_project_and_after_it_has_moved(tmp_path: Path, lake: Lake) -> None:
    project = tmp_path / "shop"
    create_project(project, example="shop")
    raw = opened(lake, project)
    for number, place in enumerate((project, tmp_path / "elsewhere"), 1):
        raw.add("orders", [ordered(number, "1.00")])
        project = project.rename(place)
        plain_dbt(project / "dbt_project", lake.settings.data_dir, "build")
        found = lake.query("select order_id from dev_ada.order_delivery order by all")
        assert found == [(f"o-{each}",) for each in range(1, number + 1)]
