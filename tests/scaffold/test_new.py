"""`millrace new`: what it writes, and that each example is a project that parses."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ingestion.declare.file import load_streams
from ingestion.errors import ConfigError
from ingestion.project import find_project
from orchestration.dbt.prepared import PACKAGE
from orchestration.scaffold.new import NOTEBOOK, create_project
from tests.dbt_project.conftest import explain, run_dbt
from tests.repository import REPOSITORY

EXAMPLES = ("plant", "shop", "none")
VERSIONED = {
    ".env.example", ".gitignore", "README.md", "dbt_project", "notebooks", "streams.yml", "workspace.yaml",
}  # fmt: skip


def git(folder: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


@pytest.fixture(params=EXAMPLES)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new project of each example."""
    create_project(tmp_path / "my-project", example=request.param)
    return tmp_path / "my-project"


def test_it_is_a_project_that_parses(project: Path, tmp_path: Path) -> None:
    assert find_project(project / "dbt_project" / "models") == project
    result = run_dbt(project / "dbt_project", tmp_path / "no-lake", "parse")
    assert result.success, explain(result)
    staged = {f"stg_{stream.name}" for stream in load_streams(project / "streams.yml")}
    assert staged <= {node.name for node in result.result.nodes.values()}


def test_git_takes_what_is_the_user_s_and_no_absolute_path(project: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    files = git(project, "ls-files")
    tiles = {"page.yml"} & {path.name for path in project.iterdir()}  # of the plant's live page
    assert {name.split("/")[0] for name in files} == VERSIONED | tiles
    assert not [name for name in files if "packages/" in name or name.endswith("streams.sql")]
    for name in files:
        text = (project / name).read_text()
        assert not [place for place in (project, REPOSITORY, PACKAGE, Path.home()) if f"{place}/" in text], (
            name
        )


def test_settings_are_commented_and_readable_by_their_owner_only(project: Path) -> None:
    lines = (project / ".env").read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)
    assert "#MILLRACE_KAFKA_BOOTSTRAP_SERVERS=" in lines
    assert (project / ".env").stat().st_mode & 0o777 == 0o600
    assert len((project / "README.md").read_text().splitlines()) <= 10


def test_the_plant_is_this_repository_s(tmp_path: Path) -> None:
    create_project(tmp_path / "plant", example="plant")
    names = git(
        REPOSITORY, "ls-files", "dbt_project", "streams.yml", "page.yml", "workspace.yaml", ".env.example"
    )
    ignored = {"dbt_packages", ".millrace_package", "streams.sql", ".millrace_schemas"}
    copied = {
        str(path.relative_to(tmp_path / "plant"))
        for path in (tmp_path / "plant").rglob("*")
        if path.is_file() and not ignored & set(path.parts) and path.parts[-2:] != ("sources", "streams.yml")
    }
    assert copied - set(names) == {".env", ".gitignore", "README.md", str(NOTEBOOK)}
    for name in names:
        assert (tmp_path / "plant" / name).read_bytes() == (REPOSITORY / name).read_bytes(), name


def test_every_dbt_project_forwards_alike() -> None:
    forwarders = (REPOSITORY / "dbt_project" / "macros" / "millrace.sql").read_text()
    assert "macro ref()" in forwarders
    assert "millrace.materialize_view()" in forwarders


@pytest.mark.parametrize(
    ("folder", "name"),
    [("shop", "shop"), ("My Shop-2", "my_shop_2"), ("2nd", "project_2nd"), ("millrace", "project_millrace")],
)
def test_dbt_s_name_follows_the_folder_s(tmp_path: Path, folder: str, name: str) -> None:
    create_project(tmp_path / folder, example="none")
    document = yaml.safe_load((tmp_path / folder / "dbt_project" / "dbt_project.yml").read_text())
    assert document["name"] == name
    assert set(document["models"]) == {name}


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        create_project(tmp_path, example="none")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_repository_becomes_a_project(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    create_project(tmp_path, example="none")
    assert find_project(tmp_path) == tmp_path
    shutil.rmtree(tmp_path / ".git")
