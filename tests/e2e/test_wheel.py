"""The wheel alone: in an empty environment, without a checkout, it runs the demo and makes projects."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

PLANT = "orchestration/scaffold/plant/"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("an environment is made from the wheel, and a demo runs in it for a minute"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], REPOSITORY)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def bin_dir(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and the locked requirements."""
    venv = tmp_path_factory.mktemp("venv")
    run([sys.executable, "-m", "venv", venv], venv)
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [line.removesuffix("\\").strip() for line in lines if line and not line.startswith((" ", "#"))]
    (venv / "pins.txt").write_text("\n".join(pins) + "\n")
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "-c", venv / "pins.txt", wheel], venv)
    return venv / "bin"


def run(argv: list[str | Path], cwd: Path, *, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == code, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_carries_the_plant_s_project_as_git_has_it(wheel: Path) -> None:
    names = ["dbt_project", "streams.yml", "workspace.yaml", ".env.example"]
    listed = run(["git", "ls-files", *names], REPOSITORY).split()
    with zipfile.ZipFile(wheel) as archive:
        carried = {name.removeprefix(PLANT): name for name in archive.namelist() if name.startswith(PLANT)}
        assert sorted(carried) == sorted(listed)
        for name, place in carried.items():
            assert archive.read(place) == (REPOSITORY / name).read_bytes(), name


def test_it_carries_every_file_of_the_packages(wheel: Path) -> None:
    listed = set(run(["git", "ls-files", "ingestion", "orchestration"], REPOSITORY).split())
    with zipfile.ZipFile(wheel) as archive:
        assert listed <= set(archive.namelist())


def test_a_demo_runs_in_an_empty_folder(bin_dir: Path, tmp_path: Path) -> None:
    said = run([bin_dir / "millrace", "demo", "--for", "60", "--no-ui"], tmp_path)
    assert "Good: every event of both brokers reached the marts" in said
    assert (tmp_path / ".millrace" / "project" / "streams.yml").is_file()
    status = run([bin_dir / "millrace", "status"], tmp_path, code=1)  # the demo has ended
    assert f"the demo on {tmp_path / '.millrace'} has ended" in status


def test_projects_are_made_and_parsed(bin_dir: Path, tmp_path: Path) -> None:
    for example in ("plant", "shop", "none"):
        run([bin_dir / "millrace", "new", example, "--example", example], tmp_path)
        run([bin_dir / "dbt", "parse"], tmp_path / example / "dbt_project")
        run([bin_dir / "dbt", "deps"], tmp_path / example / "dbt_project")
        run([bin_dir / "dbt", "parse"], tmp_path / example / "dbt_project")
